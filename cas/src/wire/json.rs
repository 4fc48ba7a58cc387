//! JSON: bytes to values, values to the typed members of one message, and back.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Code, Failure, Fields};

/// A whole body. Depth is limited by the parser.
pub(crate) fn decode(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::new(Code::MALFORMED, format!("the body cannot be read as JSON: {error}")))
}

/// On the wire.
pub(crate) fn encode(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("maps with string keys, strings and numbers can always be written").into()
}

/// The members of a message as its type; members the type does not name are ignored.
pub(crate) fn members<T: DeserializeOwned>(fields: Fields) -> Result<T, Failure> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let text = error.inner().to_string();
        let missing = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let field = error.path().to_string();
        match missing {
            Some(field) => Failure::missing(field),
            None => Failure::bad(field.split(['[', '.']).next().unwrap_or_default(), format!("{field}: {text}")),
        }
    })
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
        assert!(bad.text.starts_with("tokens[1]: invalid type: integer"), "{}", bad.text);
        let good = sample(json!({"call-id": "1", "version": 2})).unwrap();
        assert_eq!((good.call_id.as_str(), good.tokens.len()), ("1", 0));
    }

    #[test]
    fn a_body_nested_without_end_is_refused() {
        assert_eq!(decode("[".repeat(100_000).as_bytes()).unwrap_err().code, Code::MALFORMED);
    }
}
