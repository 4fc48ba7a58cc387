//! XML: the same values as JSON, and nothing is lost on the way from one to the other and back.
//!
//! The root is `<cas>`, a member an element of its name, an item of an array `<item>`. `type` says what it is: `string` where it is left out
//! and no element is inside, `object` where one is, `array`, `number`, `boolean`, `null`. So `null`, an absent member and `""` stay three
//! different things. A name that is no XML name stands in `<entry name="…">`.
//!
//! XML 1.0 has no way to write most control characters. A text or a name with one is written with the escapes of JSON (`\u0007`, and `\\` for
//! the backslash itself), and says so: `escaped="text"`, `escaped="name"`, or both.
//!
//! Nothing but elements, texts and the five predefined entities is read: no DTD, so that no entity can grow or fetch anything.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use self::read::read;
pub(crate) use self::write::encode;

/// The root element.
const ROOT: &str = "cas";
/// An element of an array.
const ITEM: &str = "item";
/// A member whose name stands in an attribute.
const ENTRY: &str = "entry";

/// What an element is by its `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    String,
    Number,
    Boolean,
    Null,
    Array,
    Object,
}

impl Kind {
    const ALL: [Kind; 6] = [Kind::String, Kind::Number, Kind::Boolean, Kind::Null, Kind::Array, Kind::Object];

    fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Null => "null",
            Kind::Array => "array",
            Kind::Object => "object",
        }
    }

    fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Whether XML 1.0 can carry a character at all (§2.2).
fn is_legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}
