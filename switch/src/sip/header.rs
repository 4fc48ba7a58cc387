//! Headers: a list in the order of the wire, each value unparsed until somebody asks for its type.
//!
//! Compact names are known, folding is undone, several values in a line are told apart; what is not known is kept verbatim.

mod name;
mod value;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;

use bytes::Bytes;

pub use self::name::Name;
pub use self::value::{Address, CSeq, RAck, Via};
use super::lex::{Values, is_space, number, trim};
use super::message::ParseError;
use super::uri::written;

/// The most values of one list header that are read; more are an error.
pub const MAX_VALUES: usize = 256;

/// Headers in the order of the wire. Content-Length is not among those of a parsed message: the body says it.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    fields: Vec<(Name, Bytes)>,
    /// What was read of them: asked for again and again while a message is on its way.
    read: Read,
}

/// The headers that tell whose a message is, once somebody has asked for them and until they change.
#[derive(Clone, Debug, Default)]
struct Read {
    via: OnceCell<Rc<Via>>,
    from: OnceCell<Rc<Address>>,
    to: OnceCell<Rc<Address>>,
    cseq: OnceCell<Rc<CSeq>>,
}

impl Read {
    /// The header has changed.
    fn forget(&mut self, name: &Name) {
        match name {
            Name::Via => drop(self.via.take()),
            Name::From => drop(self.from.take()),
            Name::To => drop(self.to.take()),
            Name::CSeq => drop(self.cseq.take()),
            Name::Other(other) => match Name::from_token(other.as_bytes()) {
                Name::Other(_) => {}
                known => self.forget(&known),
            },
            _ => {}
        }
    }
}

/// What was read before, or is read now.
fn once<T>(cell: &OnceCell<Rc<T>>, read: impl FnOnce() -> Result<T, ParseError>) -> Result<&T, ParseError> {
    match cell.get() {
        Some(value) => Ok(value),
        None => read().map(|value| &**cell.get_or_init(|| Rc::new(value))),
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Headers) -> bool {
        self.fields == other.fields
    }
}

impl Eq for Headers {}

impl Headers {
    /// No fields, and room for some.
    pub fn with_capacity(fields: usize) -> Headers {
        Headers { fields: Vec::with_capacity(fields), read: Read::default() }
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &[u8])> {
        self.fields.iter().map(|(name, value)| (name, value.as_ref()))
    }

    /// The first field of this name, whole and unparsed.
    pub fn get(&self, name: &Name) -> Option<&[u8]> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_ref())
    }

    /// The first field of this name, as text with bad UTF-8 replaced.
    pub fn text(&self, name: &Name) -> Option<Cow<'_, str>> {
        self.get(name).map(String::from_utf8_lossy)
    }

    /// Every value of a header that is a comma-separated list, over all its lines, commas in quotes and angle brackets respected, trimmed.
    pub fn values<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(n, _)| n == name).flat_map(|(_, value)| Values::new(value))
    }

    /// Adds at the end.
    pub fn push(&mut self, name: Name, value: impl Into<Bytes>) {
        self.read.forget(&name);
        self.fields.push((name, value.into()));
    }

    /// Adds at the front.
    pub fn push_front(&mut self, name: Name, value: impl Into<Bytes>) {
        self.read.forget(&name);
        self.fields.insert(0, (name, value.into()));
    }

    /// Adds all fields of this name that `other` has, as they stand there.
    pub fn copy(&mut self, other: &Headers, name: &Name) {
        self.read.forget(name);
        self.fields.extend(other.fields.iter().filter(|(n, _)| n == name).cloned());
    }

    /// Replaces all fields of this name by one, in the place of the first.
    pub fn set(&mut self, name: Name, value: impl Into<Bytes>) {
        self.read.forget(&name);
        let mut value = Some(value.into());
        self.fields.retain_mut(|(n, old)| {
            if *n != name {
                return true;
            }
            value.take().map(|new| *old = new).is_some()
        });
        if let Some(value) = value {
            self.push(name, value);
        }
    }

    /// Removes all fields of this name.
    pub fn remove(&mut self, name: &Name) {
        self.read.forget(name);
        self.fields.retain(|(n, _)| n != name);
    }

    // Typed. `Err` where the header is missing (and RFC 3261 §8.1.1 demands it), there twice though it may not be, or not well formed.

    /// The only field of this name.
    fn single(&self, name: &Name) -> Result<Option<&[u8]>, ParseError> {
        let mut fields = self.fields.iter().filter(|(n, _)| n == name);
        match (fields.next(), fields.next()) {
            (_, Some(_)) => Err(ParseError::bad(format!("More than one {}", name.as_str()))),
            (first, None) => Ok(first.map(|(_, value)| value.as_ref())),
        }
    }

    /// The only field of this name, which must be there.
    pub(super) fn required(&self, name: &Name) -> Result<&[u8], ParseError> {
        self.single(name)?.ok_or_else(|| missing(name))
    }

    /// The only field of this name, as it stands there.
    pub(super) fn shared(&self, name: &Name) -> Result<Bytes, ParseError> {
        let mut fields = self.fields.iter().filter(|(n, _)| n == name);
        fields.next().map(|(_, value)| value.clone()).ok_or_else(|| missing(name))
    }

    /// The top Via.
    pub fn via(&self) -> Result<&Via, ParseError> {
        once(&self.read.via, || Via::parse(self.values(&Name::Via).next().ok_or_else(|| missing(&Name::Via))?))
    }

    /// The top Via as far as an answer needs it ([`Via::parse_for_reply`]).
    pub fn reply_via(&self) -> Result<Via, ParseError> {
        Via::parse_for_reply(self.values(&Name::Via).next().ok_or_else(|| missing(&Name::Via))?)
    }

    /// Changes the top Via value, where it is well formed.
    pub fn change_via(&mut self, change: impl FnOnce(&mut Via)) {
        if self.via().is_ok()
            && let Some(via) = self.read.via.take()
        {
            let mut via = Rc::unwrap_or_clone(via);
            change(&mut via);
            self.set_via(via);
        }
    }

    /// Replaces the top Via value, leaving those below it.
    pub fn set_via(&mut self, via: Via) {
        let written = written(&via);
        self.read.via = OnceCell::from(Rc::new(via));
        let Some(at) = self.fields.iter().position(|(name, _)| *name == Name::Via) else {
            return self.push_front(Name::Via, written);
        };
        let field = std::mem::replace(&mut self.fields[at].1, written);
        let mut values = Values::new(&field);
        values.next();
        let below = trim(values.rest());
        if !below.is_empty() {
            self.fields.insert(at + 1, (Name::Via, field.slice_ref(below)));
        }
    }

    /// From.
    pub fn from(&self) -> Result<&Address, ParseError> {
        once(&self.read.from, || Address::parse(self.required(&Name::From)?))
    }

    /// To.
    pub fn to(&self) -> Result<&Address, ParseError> {
        once(&self.read.to, || Address::parse(self.required(&Name::To)?))
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<&str, ParseError> {
        let value = self.required(&Name::CallId)?;
        let well_formed = !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(value).ok().filter(|_| well_formed);
        text.ok_or_else(|| ParseError::bad("Malformed Call-ID"))
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<&CSeq, ParseError> {
        once(&self.read.cseq, || CSeq::parse(self.required(&Name::CSeq)?))
    }

    /// Max-Forwards; `None` where it is missing (RFC 3261 §16.3 3: not an error).
    pub fn max_forwards(&self) -> Result<Option<u8>, ParseError> {
        let Some(value) = self.single(&Name::MaxForwards)? else { return Ok(None) };
        let hops = number(value).and_then(|hops| u8::try_from(hops).ok());
        hops.map(Some).ok_or_else(|| ParseError::bad("Malformed Max-Forwards"))
    }

    /// Expires, in seconds, capped at 2^32-1 (RFC 3261 §20.19: malformed reads as absent).
    pub fn expires(&self) -> Option<u32> {
        number(self.get(&Name::Expires)?).map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// Retry-After, in seconds, without its comment and parameters (RFC 3261 §20.33); malformed reads as absent.
    pub fn retry_after(&self) -> Option<u64> {
        let value = trim(self.get(&Name::RetryAfter)?);
        let end = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
        number(&value[..end])
    }

    /// All Contact values.
    pub fn contacts(&self) -> Result<Contacts, ParseError> {
        let values: Vec<_> = self.limited(&Name::Contact)?;
        match values[..] {
            [b"*"] => Ok(Contacts::Star),
            _ => values.into_iter().map(Address::parse).collect::<Result<_, _>>().map(Contacts::List),
        }
    }

    /// All values of Route, Record-Route or Path.
    pub fn addresses(&self, name: &Name) -> Result<Vec<Address>, ParseError> {
        self.limited(name)?.into_iter().map(Address::parse).collect()
    }

    /// All values, if they are not too many.
    fn limited<'a>(&'a self, name: &'a Name) -> Result<Vec<&'a [u8]>, ParseError> {
        let values: Vec<_> = self.values(name).take(MAX_VALUES + 1).collect();
        if values.len() > MAX_VALUES {
            return Err(ParseError::bad(format!("Too many values of {}", name.as_str())));
        }
        Ok(values)
    }

    /// Whether a list of tokens (Require, Supported, Allow …) has this one; parameters are left out.
    pub fn lists(&self, name: &Name, token: &str) -> bool {
        let bare = |value: &'_ [u8]| value.split(|byte| *byte == b';' || is_space(*byte)).next().map(<[u8]>::len);
        self.values(name)
            .take(MAX_VALUES)
            .any(|value| bare(value).is_some_and(|length| value[..length].eq_ignore_ascii_case(token.as_bytes())))
    }

    /// RSeq (RFC 3262 §7.1); malformed reads as absent.
    pub fn rseq(&self) -> Option<u32> {
        number(self.get(&Name::RSeq)?).and_then(|number| u32::try_from(number).ok())
    }

    /// RAck (RFC 3262 §7.2).
    pub fn rack(&self) -> Result<RAck, ParseError> {
        RAck::parse(self.required(&Name::RAck)?)
    }

    /// All tokens of Require, Proxy-Require, Supported, Allow …, lower case, at most [`MAX_VALUES`]; parameters are left out.
    pub fn tokens(&self, name: &Name) -> Vec<String> {
        self.values(name)
            .map(|value| value.split(|byte| *byte == b';' || is_space(*byte)).next().unwrap_or(value))
            .take(MAX_VALUES)
            .map(|value| String::from_utf8_lossy(value).to_ascii_lowercase())
            .collect()
    }
}

fn missing(name: &Name) -> ParseError {
    ParseError::bad(format!("Missing {}", name.as_str()))
}

/// The Contact values of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contacts {
    /// `*`, alone.
    Star,
    /// Any number, none too.
    List(Vec<Address>),
}

#[cfg(test)]
mod tests;
