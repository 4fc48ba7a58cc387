//! Digest authentication (RFC 7616, RFC 8760), server's side.

use super::message::{Method, ParseError};

/// The hash of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
}

/// One WWW-Authenticate value, qop="auth".
pub fn challenge(realm: &str, nonce: &str, algorithm: Algorithm, stale: bool) -> String {
    todo!("{realm}{nonce}{algorithm:?}{stale}")
}

/// What an Authorization header claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// user name
    pub username: String,
    /// realm
    pub realm: String,
    /// nonce
    pub nonce: String,
    /// digest-uri, as sent
    pub uri: String,
    /// response, lower-case hex
    pub response: String,
    /// algorithm; MD5 where none is named
    pub algorithm: Algorithm,
    /// qop=auth with cnonce and nc; `None` for a client of RFC 2069
    pub auth: Option<(String, String)>,
}

impl Credentials {
    /// `Ok(None)` for a scheme or an algorithm other than ours.
    pub fn parse(value: &[u8]) -> Result<Option<Credentials>, ParseError> {
        todo!("{value:?}")
    }

    /// Whether the response fits HA1, in constant time.
    pub fn verify(&self, ha1: &str, method: &Method) -> bool {
        todo!("{ha1}{method:?}")
    }
}

/// H(user:realm:secret), lower-case hex.
pub fn ha1(algorithm: Algorithm, user: &str, realm: &str, secret: &str) -> String {
    todo!("{algorithm:?}{user}{realm}{secret}")
}
