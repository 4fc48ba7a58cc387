//! XML to values. A text without `type` is what the message's declaration asks for, where it reads as that; else it is a string.

use std::borrow::Cow;

use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Number, Value};

use super::{ENTRY, ITEM, Kind, ROOT, is_legal};
use crate::wire::shape::Shape;
use crate::wire::{Code, Failure};

/// As deep as the JSON reader goes.
const MAX_DEPTH: usize = 128;
/// Elements of one body.
const MAX_ELEMENTS: usize = 65_536;
/// Attributes of one element.
const MAX_ATTRIBUTES: usize = 16;

/// What some editors put before a text in UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// An element as it stands there: what it is may depend on what is asked for.
#[derive(Debug)]
pub(crate) struct Element {
    name: String,
    kind: Option<Kind>,
    is_escaped: bool,
    children: Vec<Element>,
    text: String,
}

/// A whole body.
pub(crate) fn read(body: &[u8]) -> Result<Element, Failure> {
    let body = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if !body.chars().all(is_legal) {
        return Err(malformed("there is a control character in it"));
    }
    let mut reader = Reader::from_str(body);
    let (mut open, mut root, mut count): (Vec<Element>, Option<Element>, usize) = (Vec::new(), None, 0);
    loop {
        let event = reader.read_event().map_err(|error| malformed(&error.to_string()))?;
        match event {
            Event::Start(_) | Event::Empty(_) if root.is_some() => return Err(malformed("there is a second root")),
            Event::Start(tag) => {
                count += 1;
                if open.len() >= MAX_DEPTH {
                    return Err(malformed("it is nested too deep"));
                }
                open.push(Element::begin(&tag)?);
            }
            Event::Empty(tag) => {
                count += 1;
                close(Element::begin(&tag)?, &mut open, &mut root);
            }
            Event::End(_) => match open.pop() {
                Some(element) => close(element, &mut open, &mut root),
                None => return Err(malformed("an element ends that has not begun")),
            },
            Event::Text(text) => add(&text.xml10_content(), &mut open)?,
            Event::CData(text) => add(&text.xml10_content(), &mut open)?,
            Event::GeneralRef(reference) => add(character(&reference)?.encode_utf8(&mut [0; 4]), &mut open)?,
            Event::DocType(_) => return Err(malformed("a DTD is not read")),
            Event::Decl(declaration) => check_declaration(&declaration)?,
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
        if count > MAX_ELEMENTS {
            return Err(malformed("it has too many elements"));
        }
    }
    match root {
        _ if !open.is_empty() => Err(malformed("it ends within an element")),
        Some(root) if root.name == ROOT => Ok(root),
        _ => Err(malformed("the root element is <cas>")),
    }
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
}

fn add(text: &str, open: &mut [Element]) -> Result<(), Failure> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if is_blank(text) => {}
        None => return Err(malformed("there is text outside the root element")),
    }
    Ok(())
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// A character reference, or one of the five entities that need no declaration.
fn character(reference: &BytesRef<'_>) -> Result<char, Failure> {
    let name: &str = reference;
    let character = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => reference.resolve_char_ref().ok().flatten().ok_or_else(|| malformed("it refers to an unknown entity"))?,
    };
    if is_legal(character) { Ok(character) } else { Err(malformed("it refers to a control character")) }
}

/// A body is UTF-8, of which US-ASCII is a part.
fn check_declaration(declaration: &BytesDecl<'_>) -> Result<(), Failure> {
    let is_utf8 = |name: &Cow<'_, str>| ["utf-8", "utf8", "us-ascii"].iter().any(|own| name.eq_ignore_ascii_case(own));
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if is_utf8(&name) => Ok(()),
        Some(_) => Err(malformed("its encoding is not UTF-8")),
    }
}

fn malformed(why: &str) -> Failure {
    Failure::new(Code::MALFORMED, format!("the body cannot be read as XML: {why}"))
}

impl Element {
    fn begin(tag: &BytesStart<'_>) -> Result<Element, Failure> {
        let tag_name = tag.name();
        let tag_name: &str = tag_name.as_ref();
        let (mut kind, mut entry, mut escaped): (_, Option<String>, _) = (None, None, String::new());
        // Who has thousands of them is not made to be compared pair by pair.
        for (index, attribute) in tag.attributes().with_checks(false).enumerate() {
            let attribute = attribute.map_err(|error| malformed(&error.to_string()))?;
            if index >= MAX_ATTRIBUTES {
                return Err(malformed("an element has too many attributes"));
            }
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(|error| malformed(&error.to_string()))?;
            if !value.chars().all(is_legal) {
                return Err(malformed("it refers to a control character"));
            }
            match attribute.key.as_ref() {
                "type" => {
                    let known = Kind::from_name(&value);
                    kind = Some(known.ok_or_else(|| malformed(&format!("there is no type {value:?}")))?);
                }
                "name" if tag_name == ENTRY => entry = Some(value.into_owned()),
                "escaped" => escaped = value.into_owned(),
                // Namespaces, say: they say nothing here.
                _ => {}
            }
        }
        let mut name = entry.unwrap_or_else(|| tag_name.to_owned());
        if escaped.split_whitespace().any(|word| word == "name") {
            name = unescaped(&name)?;
        }
        let is_escaped = escaped.split_whitespace().any(|word| word == "text");
        Ok(Element { name, kind, is_escaped, children: Vec::new(), text: String::new() })
    }

    /// The value it is, where this is asked for.
    pub(crate) fn value(self, shape: Option<Shape<'_>>) -> Result<Value, Failure> {
        let shape = shape.map(|shape| shape.of_message(|header| self.member(header)));
        let takes = |kind: &str| shape.is_some_and(|shape| shape.takes(kind));
        let kind = match self.kind {
            Some(kind) => kind,
            // A list whose writer has not said so.
            None if takes("array") && !takes("object") && !self.is_text() && self.is_list() => Kind::Array,
            None if takes("array") && !takes("string") && self.children.is_empty() && is_blank(&self.text) => {
                Kind::Array
            }
            None if !self.children.is_empty() => Kind::Object,
            None if shape.is_some_and(|shape| !shape.takes_any() && !shape.takes("string")) => {
                return self.untyped(takes);
            }
            None => Kind::String,
        };
        match kind {
            Kind::Array | Kind::Object if !is_blank(&self.text) => Err(self.wrong("there is text beside its elements")),
            Kind::Array if !self.is_list() => Err(self.wrong("an array consists of <item>s")),
            Kind::Array => {
                let items = self.children.into_iter().enumerate();
                let items = items.map(|(index, item)| item.value(shape.and_then(|shape| shape.item(index))));
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            Kind::Object => {
                let mut fields = Map::new();
                for child in self.children {
                    let name = child.name.clone();
                    let value = child.value(shape.and_then(|shape| shape.member(&name)))?;
                    if fields.insert(name.clone(), value).is_some() {
                        return Err(malformed(&format!("<{name}> is there twice")));
                    }
                }
                Ok(Value::Object(fields))
            }
            _ if !self.children.is_empty() => Err(self.wrong("there are elements where a text belongs")),
            Kind::String => self.content().map(Value::String),
            Kind::Number => self.number().ok_or_else(|| self.wrong("it is no number")),
            Kind::Boolean => self.boolean().ok_or_else(|| self.wrong("it is neither true nor false")),
            Kind::Null if is_blank(&self.text) => Ok(Value::Null),
            Kind::Null => Err(self.wrong("null has no content")),
        }
    }

    /// A text of which its writer has not said what it is: what is asked for, if it reads as that.
    fn untyped(self, takes: impl Fn(&str) -> bool) -> Result<Value, Failure> {
        let number = || self.number().filter(|_| takes("number") || takes("integer"));
        let boolean = || self.boolean().filter(|_| takes("boolean"));
        let object = || (takes("object") && is_blank(&self.text)).then(|| Value::Object(Map::new()));
        match number().or_else(boolean).or_else(object) {
            Some(value) => Ok(value),
            None => self.content().map(Value::String),
        }
    }

    /// The text of a member, in either writing of its name.
    fn member(&self, name: &str) -> Option<&str> {
        let member = self.children.iter().find(|child| child.name == name);
        member.filter(|member| member.children.is_empty()).map(|member| member.text.as_str())
    }

    fn is_list(&self) -> bool {
        self.children.iter().all(|child| child.name == ITEM)
    }

    fn is_text(&self) -> bool {
        self.children.is_empty()
    }

    fn content(&self) -> Result<String, Failure> {
        if self.is_escaped { unescaped(&self.text) } else { Ok(self.text.clone()) }
    }

    /// As JSON writes it.
    fn number(&self) -> Option<Value> {
        serde_json::from_str::<Number>(self.text.trim()).ok().map(Value::Number)
    }

    fn boolean(&self) -> Option<Value> {
        match self.text.trim() {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => None,
        }
    }

    fn wrong(&self, why: &str) -> Failure {
        malformed(&format!("in <{}> {why}", self.name))
    }
}

/// Undoes the escapes of JSON.
fn unescaped(text: &str) -> Result<String, Failure> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    let wrong = || malformed("it is said to be escaped, and is not");
    while let Some(c) = rest.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            continue;
        }
        let unit = match rest.next().ok_or_else(wrong)? {
            c @ ('"' | '\\' | '/') => c as u16,
            'b' => 8,
            't' => 9,
            'n' => 10,
            'f' => 12,
            'r' => 13,
            'u' => {
                let digits = rest.as_str().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
                let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()).ok_or_else(wrong)?;
                rest = rest.as_str()[4..].chars();
                unit
            }
            _ => return Err(wrong()),
        };
        units.push(unit);
    }
    String::from_utf16(&units).map_err(|_| wrong())
}
