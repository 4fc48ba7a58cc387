//! What all CAS messages have in common: headers, error codes, and how a request is opened.
//!
//! Encodings are below: [`json`] and [`xml`] turn bytes into values and back, [`rows`] builds columnar lists.

pub(crate) mod json;
pub(crate) mod rows;
pub(crate) mod shape;
pub(crate) mod xml;

use serde_json::{Map, Value};

use self::shape::{Messages, Shape};
use crate::boundary::Format;
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
    pub(crate) const GONE: Code = Code(13);
    pub(crate) const CONFLICT: Code = Code(14);
    pub(crate) const OVERLOADED: Code = Code(20);
    pub(crate) const NO_ROUTE: Code = Code(21);
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
    /// The call that was asked about, as the client is told of it or named it.
    pub(crate) call_id: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into(), field: None, call_id: None }
    }

    /// The same, about this member.
    pub(crate) fn of(field: &str, code: Code, text: impl Into<String>) -> Failure {
        Failure { field: Some(field.to_owned()), ..Failure::new(code, text) }
    }

    pub(crate) fn missing(field: &str) -> Failure {
        Failure::of(field, Code::MISSING, format!("{field} is missing"))
    }

    /// One of these is needed; `field` names the first.
    pub(crate) fn missing_one_of(fields: &[&str]) -> Failure {
        let text = format!("{} is missing: one of them is needed", fields.join(" or "));
        Failure::of(fields.first().copied().unwrap_or_default(), Code::MISSING, text)
    }

    pub(crate) fn bad(field: &str, text: impl Into<String>) -> Failure {
        Failure::of(field, Code::BAD_VALUE, text)
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Failure {
        Failure::new(Code::NOT_FOUND, text)
    }

    /// The session that asked is no more.
    pub(crate) fn ended() -> Failure {
        Failure::new(Code::NOT_PERMITTED, "the session has ended: log in again")
    }

    /// `error`, and what belongs to it.
    pub(crate) fn described(self) -> Fields {
        let mut fields = Fields::new();
        self.describe(&mut fields);
        fields
    }

    /// Adds `error`, `error-text`, and where they apply `field` and `call-id`.
    pub(crate) fn describe(self, fields: &mut Fields) {
        fields.insert("error".into(), self.code.0.into());
        fields.insert("error-text".into(), shortened(self.text).into());
        if let Some(field) = self.field {
            fields.insert("field".into(), field.into());
        }
        if let Some(call_id) = self.call_id {
            fields.insert("call-id".into(), call_id.into());
        }
    }
}

/// The longest sentence that says what is wrong: what a client has written may be in it.
const MAX_SENTENCE: usize = 400;

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_SENTENCE) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::new(Code(refusal.code as u16), refusal.text)
    }
}

/// A whole body. What its writer has left open of it is what this schema asks for.
pub(crate) fn decode(format: Format, body: &[u8], schema: &Value, messages: Messages) -> Result<Value, Failure> {
    match format {
        Format::Json => json::decode(body),
        Format::Xml => xml::read(body)?.value(Some(Shape::new(schema, messages))),
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
        let failure = Failure::new(Code::MALFORMED, "a message is an object with the members topic and message");
        return (head, Err(failure));
    };
    let mut fields = canonical(fields);
    let opened = read_head(&mut fields, &mut head);
    (head, opened.map(|()| fields))
}

fn read_head(fields: &mut Fields, head: &mut Head) -> Result<(), Failure> {
    let request_id = request_id(fields).map(|id| head.request_id = id);
    let topic = name(fields, "topic").map(|name| head.topic = name);
    let message = name(fields, "message").map(|name| head.message = name);
    request_id.and(topic).and(message)?;
    head.wait = match member(fields, "wait") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(wait)) => *wait,
        Some(_) => return Err(Failure::bad("wait", "wait is true or false")),
    };
    Ok(())
}

/// Members as they are meant, however a client writes them: phones in the field write underscores in names (`make_call`), and some
/// languages write whole numbers as `2.0`. Where both writings of a name are there, the one with hyphens counts.
pub(crate) fn canonical(mut fields: Fields) -> Fields {
    fields.values_mut().for_each(make_whole);
    if !fields.keys().any(|key| key.contains('_')) {
        return fields;
    }
    let (odd, mut fields): (Fields, Fields) = fields.into_iter().partition(|(key, _)| key.contains('_'));
    for (key, value) in odd {
        fields.entry(hyphenated(&key)).or_insert(value);
    }
    fields
}

/// A name in canonical writing.
pub(crate) fn hyphenated(name: &str) -> String {
    name.replace('_', "-")
}

/// Beyond it not every whole number is one of the floating-point numbers (IEEE 754 double precision).
const MAX_EXACT: f64 = (1_u64 << 53) as f64;

fn make_whole(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= MAX_EXACT);
            if let Some(float) = float {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_whole),
        Value::Object(fields) => fields.values_mut().for_each(make_whole),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// As many members as a message has at most, as a rule: so few are found sooner by comparing than by hashing.
const FEW: usize = 16;

/// A member, found the quickest way.
pub(crate) fn member<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    match fields.len() <= FEW {
        true => fields.iter().find(|(key, _)| *key == name).map(|(_, value)| value),
        false => fields.get(name),
    }
}

fn member_mut<'a>(fields: &'a mut Fields, name: &str) -> Option<&'a mut Value> {
    match fields.len() <= FEW {
        true => fields.iter_mut().find(|(key, _)| *key == name).map(|(_, value)| value),
        false => fields.get_mut(name),
    }
}

/// A name of the protocol, which is left in the message in canonical writing.
fn name(fields: &mut Fields, header: &str) -> Result<String, Failure> {
    match member_mut(fields, header) {
        None | Some(Value::Null) => Err(Failure::missing(header)),
        Some(Value::String(name)) if name.is_empty() => Err(Failure::missing(header)),
        Some(Value::String(name)) if name.len() <= MAX_NAME => {
            if name.contains('_') {
                *name = hyphenated(name);
            }
            Ok(name.clone())
        }
        Some(_) => Err(Failure::bad(header, format!("{header} is a name of at most {MAX_NAME} bytes"))),
    }
}

/// A number is taken that can be given back exactly as it came.
fn request_id(fields: &Fields) -> Result<Option<Value>, Failure> {
    match member(fields, "request-id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(id)) if !id.is_f64() => Ok(Some(Value::Number(id.clone()))),
        Some(Value::String(id)) if id.len() <= MAX_REQUEST_ID => Ok(Some(Value::String(id.clone()))),
        Some(_) => {
            let text =
                format!("request-id is a whole number of 64 bits, or a string of at most {MAX_REQUEST_ID} bytes");
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
    fn a_request_id_that_cannot_be_given_back_exactly_is_refused() {
        let read = |text: &str| {
            let message = format!(r#"{{"topic":"a","message":"b","request-id":{text}}}"#);
            let (head, opened) = open(serde_json::from_str(&message).unwrap());
            opened.map(|_| head.request_id.map(|id| id.to_string()).unwrap_or_default())
        };
        for id in ["18446744073709551615", "-9223372036854775808", "0"] {
            assert_eq!(read(id).as_deref(), Ok(id));
        }
        assert_eq!(read("26.0").as_deref(), Ok("26"));
        for id in ["18446744073709551616", "-9223372036854775809", "1.5", "1e300", "true", "{}"] {
            let failure = read(id).unwrap_err();
            assert_eq!((failure.code, failure.field.as_deref()), (Code::BAD_VALUE, Some("request-id")), "{id}");
        }
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_point() {
        let fields = json!({"max": 2.0, "rows": [[1.0, {"n": -3.0}]], "half": 0.5, "huge": 1e18});
        let wanted = json!({"max": 2, "rows": [[1, {"n": -3}]], "half": 0.5, "huge": 1e18});
        assert_eq!(Value::Object(canonical(fields.as_object().unwrap().clone())), wanted);
    }

    #[test]
    fn s28_underscores_are_accepted_and_unknown_headers_tolerated() {
        let message =
            json!({"topic": "tel", "message": "make_call", "version": 3, "name_hint": "V", "call_id": 1, "call-id": 2});
        let (head, fields) = open(message);
        let fields = fields.unwrap();
        assert_eq!((head.message.as_str(), &fields["message"]), ("make-call", &json!("make-call")));
        assert_eq!((&fields["name-hint"], &fields["call-id"]), (&json!("V"), &json!(2)));
    }
}
