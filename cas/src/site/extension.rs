//! What people dial, and what may be a number of the site.

use std::borrow::Borrow;
use std::fmt;

/// What a person dials: digits, `*` and `#`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extension(pub String);

/// The longest number of the site, feature codes included.
const MAX_NUMBER: usize = 32;

/// The longest extension of a user.
const MAX_USER: usize = 10;

impl Extension {
    /// Any number of the site: 1 to 32 of digits, `*` and `#`.
    pub fn parse(text: &str) -> Result<Extension, ExtensionError> {
        let dialable = |c: char| c.is_ascii_digit() || c == '*' || c == '#';
        check(text, MAX_NUMBER, dialable, "digits, * and #")
    }

    /// A user's extension: 1 to 10 digits.
    pub fn parse_user(text: &str) -> Result<Extension, ExtensionError> {
        check(text, MAX_USER, |c| c.is_ascii_digit(), "digits")
    }

    /// As it is dialled.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(
    text: &str,
    max: usize,
    allowed: impl Fn(char) -> bool,
    alphabet: &'static str,
) -> Result<Extension, ExtensionError> {
    if text.is_empty() || text.len() > max || !text.chars().all(allowed) {
        return Err(ExtensionError { text: text.chars().take(MAX_NUMBER).collect(), alphabet, max });
    }
    Ok(Extension(text.to_owned()))
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Extension {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Why a text is no number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionError {
    text: String,
    alphabet: &'static str,
    max: usize,
}

impl fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no extension: expected 1 to {} {}", self.text, self.max, self.alphabet)
    }
}

impl std::error::Error for ExtensionError {}
