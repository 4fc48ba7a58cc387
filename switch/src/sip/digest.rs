//! Digest authentication (RFC 7616, RFC 8760), server's side.

use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::lex::{Scan, is_space, trim};
use super::message::{Method, ParseError};

/// The most parameters credentials may have.
const MAX_PARAMS: usize = 32;

/// The hash of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// As in a challenge.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    /// The hash of the parts with colons between them, lower-case hex.
    fn hash(self, parts: &[&str]) -> String {
        fn hash<D: Digest>(parts: &[&str]) -> String {
            let mut hasher = D::new();
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    hasher.update(b":");
                }
                hasher.update(part.as_bytes());
            }
            hex::encode(hasher.finalize())
        }
        match self {
            Algorithm::Md5 => hash::<Md5>(parts),
            Algorithm::Sha256 => hash::<Sha256>(parts),
        }
    }
}

/// One WWW-Authenticate value, qop="auth".
pub fn challenge(realm: &str, nonce: &str, algorithm: Algorithm, stale: bool) -> String {
    let stale = if stale { ", stale=true" } else { "" };
    format!(
        "Digest realm={}, nonce={}, algorithm={}, qop=\"auth\"{stale}",
        quote(realm),
        quote(nonce),
        algorithm.as_str()
    )
}

/// A quoted string; controls are left out.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars().filter(|char| !char.is_control()) {
        if matches!(char, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted.push('"');
    quoted
}

/// What an Authorization header claims.
#[derive(Clone, PartialEq, Eq)]
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

impl std::fmt::Debug for Credentials {
    /// Without the response, from which a weak secret can be guessed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .field("nonce", &self.nonce)
            .field("uri", &self.uri)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// `Ok(None)` for a scheme or an algorithm other than ours.
    pub fn parse(value: &[u8]) -> Result<Option<Credentials>, ParseError> {
        let malformed = |text: &str| ParseError::bad(format!("Malformed credentials: {text}"));
        let mut scan = Scan::new(trim(value));
        let scheme = scan.token().ok_or_else(|| malformed("no scheme"))?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Ok(None);
        }
        if scan.take_while(is_space).is_empty() {
            return Err(malformed("no parameters"));
        }
        let mut params = parameters(&mut scan)?;
        let mut take =
            |wanted: &str| params.iter_mut().find(|(name, _)| is(name, wanted)).map(|(_, value)| std::mem::take(value));
        let algorithm = match take("algorithm") {
            None => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Algorithm::Sha256,
            Some(_) => return Ok(None),
        };
        let auth = match take("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let cnonce = take("cnonce").ok_or_else(|| malformed("no cnonce"))?;
                let nc = take("nc").filter(|nc| nc.len() == 8 && nc.bytes().all(|digit| digit.is_ascii_hexdigit()));
                Some((cnonce, nc.ok_or_else(|| malformed("no nc"))?))
            }
            Some(_) => return Err(malformed("qop not offered")),
        };
        let mut required = |name| take(name).ok_or_else(|| malformed(&format!("no {name}")));
        Ok(Some(Credentials {
            username: required("username")?,
            realm: required("realm")?,
            nonce: required("nonce")?,
            uri: required("uri")?,
            response: required("response")?.to_ascii_lowercase(),
            algorithm,
            auth,
        }))
    }

    /// Whether the response fits HA1, in constant time.
    pub fn verify(&self, ha1: &str, method: &Method) -> bool {
        let auth = self.auth.as_ref().map(|(cnonce, nc)| (cnonce.as_str(), nc.as_str()));
        let expected = response(self.algorithm, ha1, &self.nonce, auth, method, &self.uri);
        expected.as_bytes().ct_eq(self.response.as_bytes()).into()
    }
}

/// Names compare without regard to case.
fn is(name: &str, wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted)
}

/// `name=value` with commas between, each name once.
fn parameters<'a>(scan: &mut Scan<'a>) -> Result<Vec<(&'a str, String)>, ParseError> {
    let malformed = || ParseError::bad("Malformed credentials");
    let mut params: Vec<(&str, String)> = Vec::with_capacity(10);
    loop {
        let name = scan.token().ok_or_else(malformed)?;
        if params.len() == MAX_PARAMS || params.iter().any(|(known, _)| is(known, name)) || !scan.eat_spaced(b'=') {
            return Err(malformed());
        }
        let value = if scan.peek() == Some(b'"') {
            scan.quoted()?
        } else {
            // Not only tokens: some clients write their URI or nonce without quotes.
            let bare = scan.take_while(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"'));
            String::from_utf8_lossy(bare).into_owned()
        };
        params.push((name, value));
        scan.skip_space();
        if scan.is_empty() {
            return Ok(params);
        }
        if !scan.eat_spaced(b',') {
            return Err(malformed());
        }
    }
}

/// H(user:realm:secret), lower-case hex.
pub fn ha1(algorithm: Algorithm, user: &str, realm: &str, secret: &str) -> String {
    algorithm.hash(&[user, realm, secret])
}

/// What a client that knows HA1 answers (RFC 7616 §3.4.1; without `auth`, cnonce and nc, RFC 2069), lower-case hex.
pub fn response(
    algorithm: Algorithm,
    ha1: &str,
    nonce: &str,
    auth: Option<(&str, &str)>,
    method: &Method,
    uri: &str,
) -> String {
    let ha2 = algorithm.hash(&[method.as_str(), uri]);
    match auth {
        Some((cnonce, nc)) => algorithm.hash(&[ha1, nonce, nc, cnonce, "auth", &ha2]),
        None => algorithm.hash(&[ha1, nonce, &ha2]),
    }
}

#[cfg(test)]
mod tests;
