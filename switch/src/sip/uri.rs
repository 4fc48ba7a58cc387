//! URIs (RFC 3261 §19.1, RFC 3966). Anything with a scheme is accepted here and kept verbatim; whether the scheme is one the switch
//! serves (416 otherwise) is asked later.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::message::ParseError;

/// A URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user part, unescaped (`tel:` and unknown schemes: everything before the parameters).
    pub user: Option<String>,
    /// The host; `None` for `tel:` and unknown schemes.
    pub host: Option<Host>,
    /// The port, where one is written.
    pub port: Option<u16>,
    /// `;name=value`, in order.
    pub params: Params,
    /// `?name=value&…`, verbatim and without the question mark.
    pub headers: Option<String>,
}

/// The schemes the switch distinguishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other, lower case.
    Other(String),
}

/// A host as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name, lower case.
    Name(String),
    /// An IPv4 address or an IPv6 reference.
    Ip(IpAddr),
}

/// Parameters: `;lr;transport=tcp;x="a;b"`. Names compare without regard to case and are kept in lower case; quotes are taken off values and put
/// back where they are needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(pub Vec<(String, Option<String>)>);

impl Params {
    /// The value of a parameter: `Some(None)` where it stands without one.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_deref())
    }

    /// The value of a parameter that has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).flatten()
    }

    /// Sets or replaces.
    pub fn set(&mut self, name: &str, value: Option<String>) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, v)) => *v = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Removes, if there.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| n != name);
    }
}

impl Uri {
    /// `sip:user@address`.
    pub fn sip(user: Option<&str>, address: SocketAddr) -> Uri {
        Uri {
            scheme: Scheme::Sip,
            user: user.map(str::to_owned),
            host: Some(Host::Ip(address.ip())),
            port: Some(address.port()),
            params: Params::default(),
            headers: None,
        }
    }

    /// Parses a whole URI without angle brackets.
    pub fn parse(text: &str) -> Result<Uri, ParseError> {
        todo!("{text}")
    }

    /// Equality by RFC 3261 §19.1.4.
    pub fn same_as(&self, other: &Uri) -> bool {
        todo!("{other:?}")
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl fmt::Display for Params {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
