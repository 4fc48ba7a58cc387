//! A body sent to `/Execute`: one message, or an array of them (a bulk request), answered by one array in the same order.
//!
//! The parts begin in their order. A part that waits for the store or a helper holds back those after it, so that what it changes is
//! there for them; one that call control has accepted does not.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::Value;

use crate::session::SessionKey;

/// Messages in one bulk request.
pub(crate) const MAX_PARTS: usize = 256;

/// On whose behalf a message is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A client that logged in.
    Session(SessionKey),
    /// The control socket.
    Console,
}

/// One body under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) asker: Asker,
    /// Whether anybody still waits for the answer.
    pub(crate) wanted: bool,
    is_array: bool,
    rest: VecDeque<Value>,
    replies: Vec<Option<Bytes>>,
    /// The part that holds back the rest.
    held_by: Option<usize>,
}

/// What can be done with an exchange now.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Begin this part.
    Begin(usize, Value),
    /// Nothing, until a reply is there.
    Wait,
    /// Answer with this body.
    Finished(Bytes),
}

impl Exchange {
    pub(crate) fn new(asker: Asker, body: Value) -> Exchange {
        let (is_array, rest) = match body {
            Value::Array(parts) => (true, parts.into()),
            message => (false, VecDeque::from([message])),
        };
        Exchange { asker, wanted: true, is_array, replies: vec![None; rest.len()], rest, held_by: None }
    }

    pub(crate) fn parts(&self) -> usize {
        self.replies.len()
    }

    pub(crate) fn step(&mut self) -> Step {
        if self.held_by.is_some_and(|index| self.replies[index].is_none()) {
            return Step::Wait;
        }
        self.held_by = None;
        let index = self.replies.len() - self.rest.len();
        match self.rest.pop_front() {
            Some(part) => Step::Begin(index, part),
            None => self.finished().map_or(Step::Wait, Step::Finished),
        }
    }

    /// What follows this part waits for its reply.
    pub(crate) fn hold(&mut self, index: usize) {
        self.held_by = Some(index);
    }

    /// Whether this part's reply lets the rest go on.
    pub(crate) fn is_held_by(&self, index: usize) -> bool {
        self.held_by == Some(index)
    }

    /// Takes a reply; yields the whole body with the last one.
    pub(crate) fn fill(&mut self, index: usize, reply: Bytes) -> Option<Bytes> {
        self.replies[index] = Some(reply);
        self.finished()
    }

    fn finished(&self) -> Option<Bytes> {
        if !self.rest.is_empty() {
            return None;
        }
        match (self.is_array, self.replies.as_slice()) {
            (false, [reply]) => reply.clone(),
            (_, replies) => {
                let replies: Vec<&[u8]> = replies.iter().map(Option::as_deref).collect::<Option<_>>()?;
                Some([b"[".as_slice(), &replies.join(&b','), b"]"].concat().into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn s151_replies_are_joined_in_the_order_of_the_requests() {
        let mut exchange = Exchange::new(Asker::Console, json!([1, 2, 3]));
        assert_eq!(exchange.step(), Step::Begin(0, json!(1)));
        assert_eq!(exchange.step(), Step::Begin(1, json!(2)));
        exchange.hold(1);
        assert_eq!(exchange.fill(0, "a".into()), None);
        assert_eq!(exchange.step(), Step::Wait);
        assert_eq!(exchange.fill(1, "b".into()), None);
        assert_eq!(exchange.step(), Step::Begin(2, json!(3)));
        assert_eq!(exchange.fill(2, "c".into()), Some("[a,b,c]".into()));
    }

    #[test]
    fn an_empty_array_is_answered_by_one() {
        assert_eq!(Exchange::new(Asker::Console, json!([])).step(), Step::Finished("[]".into()));
    }
}
