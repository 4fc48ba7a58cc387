//! Values to XML.

use bytes::Bytes;
use serde_json::Value;

use super::{ENTRY, ITEM, Kind, ROOT, is_legal};

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// On the wire.
pub(crate) fn encode(value: &Value) -> Bytes {
    let mut out = DECLARATION.to_owned();
    element(ROOT, None, value, &mut out);
    out.push('\n');
    out.into()
}

/// `name`: of a member whose name is no XML name.
fn element(tag: &str, name: Option<&str>, value: &Value, out: &mut String) {
    out.push('<');
    out.push_str(tag);
    let odd_name = name.is_some_and(|name| !name.chars().all(is_legal));
    if let Some(name) = name {
        out.push_str(" name=\"");
        if odd_name {
            attribute(&escaped(name), out)
        } else {
            attribute(name, out)
        }
        out.push('"');
    }
    if let Some(kind) = told_kind(value) {
        out.push_str(" type=\"");
        out.push_str(kind.name());
        out.push('"');
    }
    let odd_text = value.as_str().is_some_and(|text| !text.chars().all(is_legal));
    if odd_name || odd_text {
        let words = [odd_name.then_some("name"), odd_text.then_some("text")];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        out.push_str(&format!(" escaped=\"{}\"", words.join(" ")));
    }
    out.push('>');
    match value {
        Value::Null => {}
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(content) if odd_text => text(&escaped(content), out),
        Value::String(content) => text(content, out),
        Value::Array(items) => items.iter().for_each(|item| element(ITEM, None, item, out)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| member(name, value, out)),
    }
    out.push_str("</");
    out.push_str(tag);
    out.push('>');
}

fn member(name: &str, value: &Value, out: &mut String) {
    match is_plain_name(name) {
        true => element(name, None, value, out),
        false => element(ENTRY, Some(name), value, out),
    }
}

/// What a reader would not take it for without being told.
fn told_kind(value: &Value) -> Option<Kind> {
    match value {
        Value::String(_) => None,
        Value::Object(fields) if !fields.is_empty() => None,
        Value::Null => Some(Kind::Null),
        Value::Bool(_) => Some(Kind::Boolean),
        Value::Number(_) => Some(Kind::Number),
        Value::Array(_) => Some(Kind::Array),
        Value::Object(_) => Some(Kind::Object),
    }
}

/// Of the names that XML allows, those of ASCII without a namespace; names in `xml` belong to XML itself (§2.3).
fn is_plain_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let is_reserved = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("xml"));
    begins && goes_on && !is_reserved && name != ENTRY
}

/// A reader makes a line feed of a carriage return that stands as itself (§2.11).
fn text(content: &str, out: &mut String) {
    for c in content.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
}

/// A reader makes blanks of white space that stands as itself (§3.3.3).
fn attribute(content: &str, out: &mut String) {
    for c in content.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
}

/// With the escapes of JSON for what XML cannot carry.
fn escaped(content: &str) -> String {
    let mut out = String::with_capacity(content.len() + 8);
    for c in content.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if is_legal(c) => out.push(c),
            c => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    out
}
