//! What all CAS messages have in common: headers, error codes, and how a request is opened.
//!
//! Encodings are below: [`json`] turns bytes into values and back, [`rows`] builds columnar lists.

pub(crate) mod json;
pub(crate) mod rows;

use serde_json::{Map, Value};

use crate::control::Refusal;

/// The members of a message or of a reply.
pub(crate) type Fields = Map<String, Value>;

/// An error code of the protocol; those of call control are [`RefusalCode`](crate::control::RefusalCode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u16);

impl Code {
    pub(crate) const MALFORMED: Code = Code(1);
    pub(crate) const UNKNOWN_TOPIC: Code = Code(2);
    pub(crate) const UNKNOWN_MESSAGE: Code = Code(3);
    pub(crate) const MISSING: Code = Code(4);
    pub(crate) const BAD_VALUE: Code = Code(5);
    pub(crate) const NOT_PERMITTED: Code = Code(10);
    pub(crate) const NOT_FOUND: Code = Code(11);
    pub(crate) const WRONG_STATE: Code = Code(12);
    pub(crate) const CONFLICT: Code = Code(14);
    pub(crate) const OVERLOADED: Code = Code(20);
    pub(crate) const LIMIT: Code = Code(40);
    pub(crate) const INTERNAL: Code = Code(50);
}

/// Why a message was not carried out: it changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// A sentence for the client's author.
    pub(crate) text: String,
    /// The member it is about.
    pub(crate) field: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into(), field: None }
    }

    pub(crate) fn missing(field: &str) -> Failure {
        Failure { code: Code::MISSING, text: format!("{field} is missing"), field: Some(field.to_owned()) }
    }

    pub(crate) fn bad(field: &str, text: impl Into<String>) -> Failure {
        Failure { code: Code::BAD_VALUE, text: text.into(), field: Some(field.to_owned()) }
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Failure {
        Failure::new(Code::NOT_FOUND, text)
    }

    /// The session that asked is no more.
    pub(crate) fn ended() -> Failure {
        Failure::new(Code::NOT_PERMITTED, "the session has ended: log in again")
    }

    /// Adds `error`, and where it applies `error-text` and `field`.
    pub(crate) fn describe(self, fields: &mut Fields) {
        fields.insert("error".into(), self.code.0.into());
        fields.insert("error-text".into(), self.text.into());
        if let Some(field) = self.field {
            fields.insert("field".into(), field.into());
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::new(Code(refusal.code as u16), refusal.text)
    }
}

/// The headers of a request, as far as they can be read: an error is answered with them too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// In canonical writing; empty where there was none.
    pub(crate) topic: String,
    /// Likewise.
    pub(crate) message: String,
    /// The client's own, given back as it came.
    pub(crate) request_id: Option<Value>,
    /// `"wait": true`: the final reply is wanted instead of the interim one.
    pub(crate) wait: bool,
}

/// The longest `request-id` that is taken.
const MAX_REQUEST_ID: usize = 256;
/// The longest header that is repeated in a reply.
const MAX_NAME: usize = 64;

/// Opens a request: its headers, then its members in canonical writing, or what is wrong with it.
pub(crate) fn open(message: Value) -> (Head, Result<Fields, Failure>) {
    let mut head = Head::default();
    let Value::Object(fields) = message else {
        let failure = Failure::new(Code::MALFORMED, "a message is a JSON object with the members topic and message");
        return (head, Err(failure));
    };
    let fields = canonical(fields);
    let opened = read_head(&fields, &mut head);
    (head, opened.map(|()| fields))
}

fn read_head(fields: &Fields, head: &mut Head) -> Result<(), Failure> {
    let request_id = request_id(fields).map(|id| head.request_id = id);
    let topic = name(fields, "topic").map(|name| head.topic = name);
    let message = name(fields, "message").map(|name| head.message = name);
    request_id.and(topic).and(message)?;
    head.wait = match fields.get("wait") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(wait)) => *wait,
        Some(_) => return Err(Failure::bad("wait", "wait is true or false")),
    };
    Ok(())
}

/// Underscores are accepted in names (`make_call`): phones in the field write them. Where both writings are there, the canonical one counts.
pub(crate) fn canonical(fields: Fields) -> Fields {
    if !fields.keys().any(|key| key.contains('_')) {
        return fields;
    }
    let (odd, mut fields): (Fields, Fields) = fields.into_iter().partition(|(key, _)| key.contains('_'));
    for (key, value) in odd {
        fields.entry(key.replace('_', "-")).or_insert(value);
    }
    fields
}

fn name(fields: &Fields, header: &str) -> Result<String, Failure> {
    match fields.get(header) {
        None | Some(Value::Null) => Err(Failure::missing(header)),
        Some(Value::String(name)) if name.is_empty() => Err(Failure::missing(header)),
        Some(Value::String(name)) if name.len() <= MAX_NAME => Ok(name.replace('_', "-")),
        Some(_) => Err(Failure::bad(header, format!("{header} is a name of at most {MAX_NAME} characters"))),
    }
}

fn request_id(fields: &Fields) -> Result<Option<Value>, Failure> {
    match fields.get("request-id") {
        None | Some(Value::Null) => Ok(None),
        Some(id @ Value::Number(_)) => Ok(Some(id.clone())),
        Some(Value::String(id)) if id.len() <= MAX_REQUEST_ID => Ok(Some(Value::String(id.clone()))),
        Some(_) => {
            let text = format!("request-id is a number or a string of at most {MAX_REQUEST_ID} bytes");
            Err(Failure::bad("request-id", text))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failure(message: Value) -> (u16, Option<String>) {
        let failure = open(message).1.unwrap_err();
        (failure.code.0, failure.field)
    }

    #[test]
    fn s23_s24_a_message_needs_topic_and_message() {
        assert_eq!(failure(json!({"message": "make-call"})), (4, Some("topic".into())));
        assert_eq!(failure(json!({"topic": "tel"})), (4, Some("message".into())));
        assert_eq!(failure(json!({"topic": "tel", "message": ""})), (4, Some("message".into())));
        assert_eq!(failure(json!({"topic": 7, "message": "x"})), (5, Some("topic".into())));
        assert_eq!(failure(json!(7)), (1, None));
    }

    #[test]
    fn s27_the_request_id_is_read_even_where_the_rest_is_wrong() {
        let (head, opened) = open(json!({"request-id": "a7", "message": "make_call"}));
        assert!(opened.is_err());
        assert_eq!(head.request_id, Some(json!("a7")));
        assert_eq!(head.message, "make-call");
        assert_eq!(failure(json!({"topic": "a", "message": "b", "request-id": [1]})), (5, Some("request-id".into())));
    }

    #[test]
    fn s28_underscores_are_accepted_and_unknown_headers_tolerated() {
        let message =
            json!({"topic": "tel", "message": "make_call", "version": 3, "name_hint": "V", "call_id": 1, "call-id": 2});
        let (head, fields) = open(message);
        let fields = fields.unwrap();
        assert_eq!(head.message, "make-call");
        assert_eq!((&fields["name-hint"], &fields["call-id"]), (&json!("V"), &json!(2)));
    }
}
