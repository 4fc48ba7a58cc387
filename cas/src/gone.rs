//! Calls that have ended lately: who asks for one of his is told that it has gone, not that it never was.

use std::collections::VecDeque;

use crate::control::CallId;
use crate::site::UserId;

/// A client that acts on what it saw last is late by seconds: beyond so many calls of the site it is told what everybody is who asks for nothing.
const KEPT: usize = 1024;

/// The ends that were told to be over, each with its user.
#[derive(Debug, Default)]
pub(crate) struct Gone(VecDeque<(CallId, UserId)>);

impl Gone {
    pub(crate) fn ended(&mut self, call: CallId, user: UserId) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back((call, user));
    }

    /// Whether it was this user's.
    pub(crate) fn was(&self, call: CallId, user: UserId) -> bool {
        self.0.contains(&(call, user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ends_are_known_to_their_users() {
        let mut gone = Gone::default();
        for call in 0..KEPT as u64 + 1 {
            gone.ended(CallId(call), UserId(call % 2));
        }
        assert!(gone.was(CallId(2), UserId(0)) && !gone.was(CallId(2), UserId(1)));
        assert!(!gone.was(CallId(0), UserId(0)), "the oldest is forgotten");
        assert_eq!(gone.0.len(), KEPT);
    }
}
