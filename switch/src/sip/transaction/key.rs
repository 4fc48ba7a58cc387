//! How a message is matched to its transaction.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::sip::header::Via;
use crate::sip::message::{Method, Request};
use crate::sip::uri::{Written as _, put_number};

/// RFC 3261 §17.2.3: top Via's branch and sent-by; ACK is matched to its INVITE, CANCEL is a transaction of its own.
///
/// One text for the two tables it stands in: method (none for INVITE), sent-by, branch. A long one is digested: a transaction that has ended is
/// kept for half a minute, and a stranger must not say how much of the memory that takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServerKey(Label);

/// A text by which one of tens of thousands is found, in the order of its hash: whoever looks for it reads the table, and no other text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Label(u64, Arc<str>);

impl Label {
    fn new(text: &str) -> Label {
        let mut hasher = DefaultHasher::new();
        hasher.write(text.as_bytes());
        Label(hasher.finish(), text.into())
    }
}

/// RFC 3261 §17.1.3: the branch, without regard to case, and whether it is that of a CANCEL, which shares it with its INVITE.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClientKey(Label, bool);

impl ClientKey {
    pub(super) fn new(branch: &str, is_cancel: bool) -> ClientKey {
        ClientKey(Label::new(&branch.to_ascii_lowercase()), is_cancel)
    }
}

/// The longest method that is kept as it is, and the longest sent-by and branch. A digest is longer than the one and without the colon of the other.
const LONGEST_METHOD: usize = 32;
const LONGEST_REST: usize = 128;

impl ServerKey {
    /// The key of the INVITE that a CANCEL with this key means (§9.2).
    pub(super) fn of_invite(&self) -> ServerKey {
        let (_, rest) = self.0.1.split_once(' ').expect("a key begins with a method and a space");
        ServerKey(Label::new(&[" ", rest].concat()))
    }

    pub(super) fn of(request: &Request, via: &Via) -> ServerKey {
        ServerKey::of_branch(&request.method, via).unwrap_or_else(|| {
            // An element of RFC 2543: what its retransmissions have in common stands in for the branch.
            let headers = &request.headers;
            let tag = headers.from().ok().and_then(|from| from.tag().map(str::to_owned)).unwrap_or_default();
            let call_id = headers.call_id().unwrap_or_default();
            let number = headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
            ServerKey::new(&request.method, via, &format!("{call_id} {tag} {number} {via}"))
        })
    }

    /// The key of a request with this top Via, where its branch is one of RFC 3261.
    pub(super) fn of_branch(method: &Method, via: &Via) -> Option<ServerKey> {
        // The cookie alone names no transaction (RFC 4475 §3.2.1).
        let names_one = |branch: &&str| branch.len() > MAGIC_COOKIE.len() && branch.starts_with(MAGIC_COOKIE);
        let branch = via.branch().filter(names_one)?;
        Some(ServerKey::new(method, via, &branch.to_ascii_lowercase()))
    }

    fn new(method: &Method, via: &Via, branch: &str) -> ServerKey {
        let method = match method {
            Method::Invite | Method::Ack => "",
            other => other.as_str(),
        };
        let mut rest = String::with_capacity(64);
        // Writing to memory cannot fail.
        let _ = via.host.put(&mut rest);
        rest.push(':');
        let _ = put_number(&mut rest, via.port.unwrap_or(5060).into());
        rest.push(' ');
        rest.push_str(branch);
        // Each by itself: a CANCEL and its INVITE have the rest in common. Methods are anybody's invention too.
        ServerKey(Label::new(&[&bounded(method, LONGEST_METHOD), " ", &bounded(&rest, LONGEST_REST)].concat()))
    }
}

/// A text, or the digest of one that is too long.
fn bounded(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() > longest { hex::encode(Sha256::digest(text)).into() } else { text.into() }
}

/// What the copies of a request outside of a dialog have in common, whichever way they came: Call-ID, From tag, CSeq (RFC 3261 §8.2.2.2). A hash
/// of 64 bits, since only who makes the Call-ID could bring about two that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin(u64);

impl Origin {
    /// `None` for a request within a dialog.
    pub(super) fn of(request: &Request) -> Option<Origin> {
        let headers = &request.headers;
        if headers.to().ok()?.tag().is_some() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        headers.call_id().ok()?.hash(&mut hasher);
        headers.from().ok()?.tag().hash(&mut hasher);
        headers.cseq().ok()?.number.hash(&mut hasher);
        request.method.hash(&mut hasher);
        Some(Origin(hasher.finish()))
    }
}

/// What a branch of RFC 3261 begins with (§8.1.1.7).
pub(super) const MAGIC_COOKIE: &str = "z9hG4bK";
