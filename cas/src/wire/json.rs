//! JSON: bytes to values, values to the typed members of one message, and back.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Code, Failure, Fields};

/// What some editors put before a text in UTF-8; RFC 8259 §8.1 lets a parser ignore it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A whole body. Depth is limited by the parser.
pub(crate) fn decode(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body))
        .map_err(|error| Failure::new(Code::MALFORMED, format!("the body cannot be read as JSON: {error}")))
}

/// On the wire.
pub(crate) fn encode(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("maps with string keys, strings and numbers can always be written").into()
}

/// The members of what is written as an object.
pub(crate) fn fields(value: &impl Serialize) -> Fields {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        other => unreachable!("a reply is declared as an object: {other:?}"),
    }
}

/// An object that is written member by member, straight to the wire: a map of them all would cost more than what it says. No name may come twice.
#[derive(Debug)]
pub(crate) struct Object(Vec<u8>);

impl Object {
    pub(crate) fn new() -> Object {
        let mut bytes = Vec::with_capacity(512);
        bytes.push(b'{');
        Object(bytes)
    }

    pub(crate) fn member(&mut self, name: &str, value: &impl Serialize) {
        self.name(name);
        self.write(value);
    }

    /// A member whose value is on the wire already.
    pub(crate) fn encoded(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.0.extend_from_slice(value);
    }

    pub(crate) fn finish(mut self) -> Bytes {
        self.0.push(b'}');
        self.0.into()
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.write(&name);
        self.0.push(b':');
    }

    fn write(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.0, value)
            .expect("maps with string keys, strings and numbers can always be written");
    }
}

/// The members of a message as its type; members the type does not name are ignored.
pub(crate) fn members<T: DeserializeOwned>(fields: Fields) -> Result<T, Failure> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let text = error.inner().to_string();
        let missing = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let field = error.path().to_string();
        match missing {
            Some(field) => Failure::missing(field),
            None => Failure::bad(field.split(['[', '.']).next().unwrap_or_default(), sentence(&field, &text)),
        }
    })
}

/// What a member has to be. The deserializer tells it by the name of a Rust type, which says nothing to a client's author.
fn sentence(field: &str, told: &str) -> String {
    let expected = match told.rsplit_once("expected ").map(|(_, expected)| expected) {
        Some("u32" | "u64" | "usize") => "a whole number, 0 or more, that is not too large".to_owned(),
        Some("a sequence") => "an array".to_owned(),
        Some("a boolean") => "true or false".to_owned(),
        // The names of an enum's variants: `user` or `device`.
        Some(other) => other.replace('`', ""),
        None => return format!("{field} has a value that it cannot have"),
    };
    format!("{field} must be {expected}")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Sample {
        call_id: String,
        #[serde(default)]
        tokens: Vec<String>,
        max: Option<u32>,
        by: Option<By>,
        is_new: Option<bool>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum By {
        User,
        Device,
    }

    fn sample(value: Value) -> Result<Sample, Failure> {
        let Value::Object(fields) = value else { unreachable!("an object is given") };
        members(fields)
    }

    #[test]
    fn a_missing_member_and_a_bad_one_are_named() {
        let missing = sample(json!({"tokens": []})).unwrap_err();
        assert_eq!((missing.code, missing.field.as_deref()), (Code::MISSING, Some("call-id")));
        let bad = sample(json!({"call-id": "1", "tokens": ["v", 7]})).unwrap_err();
        assert_eq!((bad.code, bad.field.as_deref()), (Code::BAD_VALUE, Some("tokens")));
        assert_eq!(bad.text, "tokens[1] must be a string");
        let good = sample(json!({"call-id": "1", "version": 2, "max": 3, "by": "user"})).unwrap();
        assert_eq!((good.call_id.as_str(), good.tokens.len(), good.max), ("1", 0, Some(3)));
        assert!(matches!((good.by, good.is_new), (Some(By::User), None)));
    }

    #[test]
    fn what_a_member_must_be_is_told_in_the_clients_words() {
        for (member, value, text) in [
            ("tokens", json!("v"), "tokens must be an array"),
            ("max", json!(-1), "max must be a whole number, 0 or more, that is not too large"),
            ("max", json!(1.5), "max must be a whole number, 0 or more, that is not too large"),
            ("max", json!(1u64 << 40), "max must be a whole number, 0 or more, that is not too large"),
            ("by", json!("fax"), "by must be user or device"),
            ("is-new", json!("yes"), "is-new must be true or false"),
        ] {
            let failure = sample(json!({"call-id": "1", member: value})).unwrap_err();
            assert_eq!((failure.text.as_str(), failure.field.as_deref()), (text, Some(member)));
        }
    }

    #[test]
    fn an_object_written_by_its_members_reads_back() {
        let mut object = Object::new();
        object.member("a\"b", &json!({"c": [1, null]}));
        object.encoded("d", b"[true]");
        object.member("e", &"\n\u{fc}");
        assert_eq!(decode(&object.finish()).unwrap(), json!({"a\"b": {"c": [1, null]}, "d": [true], "e": "\n\u{fc}"}));
        assert_eq!(Object::new().finish(), "{}");
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(decode("\u{feff}[1]".as_bytes()).unwrap(), json!([1]));
    }

    #[test]
    fn a_body_nested_without_end_is_refused() {
        assert_eq!(decode("[".repeat(100_000).as_bytes()).unwrap_err().code, Code::MALFORMED);
    }
}
