//! The table of all messages, and what a message is given to do its work.
//!
//! A message begins with a function call. What it cannot finish within the step (the store must confirm, a helper must hash) it leaves as a
//! [`Waiting`], a named state with its data, and [`resume`] goes on from there.

#![allow(
    clippy::needless_pass_by_value,
    reason = "a message is given to its function for good, whatever that needs of it"
)]

mod calls;
mod configuration;
mod declaration;
mod directory;
pub(crate) mod handling;
mod history;
pub(crate) mod parking;
mod schedules;
mod session;
pub(crate) mod subscription;
mod system;
pub(crate) mod telephony;

use std::sync::LazyLock;

use serde_json::Value;

pub(crate) use self::declaration::{Nothing, Spec, merge, merge_required, schema_of};
use self::declaration::{messages, told};
use crate::boundary::{Finding, Work};
use crate::bulk::Asker;
use crate::control::{CallControl, CallId, Principal, Ticket};
use crate::core::Core;
use crate::session::SessionKey;
use crate::site::{Role, Site};
use crate::store::{self, StoreError};
use crate::time::Now;
use crate::wire::{Code, Failure, Fields};

/// Who asks, as far as permissions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    /// A session of an ordinary user.
    User,
    /// A session of an administrator.
    Admin,
    /// The control socket: an administrator who is no user.
    Console,
}

impl From<Role> for Grade {
    fn from(role: Role) -> Grade {
        match role {
            Role::User => Grade::User,
            Role::Admin => Grade::Admin,
        }
    }
}

/// How a message is answered, and what a repeat of it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Answered afresh each time.
    Read,
    /// Done once for each `request-id`.
    Write,
    /// Likewise, and one after the other, because it changes what all others read.
    Site,
    /// Done once for each `request-id`; a completion follows the reply (S34, S36).
    Asynchronous,
}

/// What a message came to, so far. `R`: the members of its reply.
pub(crate) type Outcome<R = Fields> = Result<Progress<R>, Failure>;

/// How far it came.
pub(crate) enum Progress<R = Fields> {
    /// To its end: the members of the reply.
    Done(R),
    /// The store has to do this first.
    Store(store::Request, Waiting),
    /// A helper has to do this first.
    Help(Work, Waiting),
    /// Call control has accepted it.
    Pending(Ticket, Option<CallId>),
}

/// What a message waits with. Not `Debug`: there are secrets in it.
pub(crate) enum Waiting {
    Records,
    Subscribe(subscription::Addition),
    Unsubscribe(Vec<u64>),
    NewUser(Box<configuration::NewUser>),
    OldPassword {
        new: String,
    },
    NewPassword,
    Site(Box<configuration::SiteWrite>),
    Handling(Box<handling::HandlingWrite>),
    /// What was done already, and is told once the store has it.
    Done(Fields),
}

/// What it waited for.
#[derive(Debug)]
pub(crate) enum Arrival {
    Stored(Result<store::Reply, StoreError>),
    Helped(Finding),
}

/// What a message works with.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) site: &'a mut Site,
    pub(crate) control: &'a mut dyn CallControl,
    pub(crate) core: &'a mut Core,
    pub(crate) asker: Asker,
}

impl Context<'_> {
    /// The session that asks.
    fn session(&self) -> Result<SessionKey, Failure> {
        match self.asker {
            Asker::Session(key) if self.core.sessions.get(key).is_some() => Ok(key),
            Asker::Session(_) => Err(Failure::ended()),
            Asker::Console => Err(Failure::new(Code::NOT_PERMITTED, "this needs a session of a user")),
        }
    }

    /// The user who asks, as call control knows him.
    fn principal(&self) -> Result<Principal, Failure> {
        let session = self.session()?;
        self.core.principal(self.site, session).ok_or_else(Failure::ended)
    }
}

const EVERYBODY: &[Grade] = &[Grade::User, Grade::Admin, Grade::Console];
const USERS: &[Grade] = &[Grade::User, Grade::Admin];
const ADMINISTRATORS: &[Grade] = &[Grade::Admin, Grade::Console];

/// All messages (S7).
pub(crate) static MESSAGES: &[Spec] = messages! {
    "session" "get-state"       Read  USERS session::get_state;
    "session" "keep-alive"      Read  USERS session::keep_alive;
    "session" "change-password" Site  USERS session::change_password;
    "tel" "make-call"   Asynchronous USERS telephony::make_call;
    "tel" "drop"        Asynchronous USERS telephony::drop_call;
    "tel" "answer"      Asynchronous USERS telephony::answer;
    "tel" "hold"        Asynchronous USERS telephony::hold;
    "tel" "unhold"      Asynchronous USERS telephony::unhold;
    "tel" "send-digits" Asynchronous USERS telephony::send_digits;
    "tel" "blind-transfer"    Asynchronous USERS telephony::blind_transfer;
    "tel" "redirect"          Asynchronous USERS telephony::redirect;
    "tel" "consult"           Asynchronous USERS telephony::consult;
    "tel" "complete-transfer" Asynchronous USERS telephony::complete_transfer;
    "tel" "park"              Asynchronous USERS parking::park;
    "tel" "unpark"            Asynchronous USERS parking::unpark;
    "tel" "pickup"            Asynchronous USERS parking::pickup;
    "tel" "get-calls"   Read         USERS telephony::get_calls;
    "tel" "get-parked"  Read         USERS parking::get_parked;
    "find" "lookup-contacts" Read EVERYBODY directory::lookup_contacts;
    "history" "get-recs" Read USERS history::get_recs;
    "subscribe" "subscribe-events" Write USERS subscription::subscribe_events;
    "subscribe" "unsubscribe"      Write USERS subscription::unsubscribe;
    "subscribe" "list"             Read  USERS subscription::list;
    "config" "get-call-handling" Read EVERYBODY handling::get_call_handling;
    "config" "set-call-handling" Site EVERYBODY handling::set_call_handling;
    "config" "get-schedules"     Read EVERYBODY schedules::get_schedules;
    "config" "set-schedule"      Site EVERYBODY schedules::set_schedule;
    "config" "get-users"      Read ADMINISTRATORS configuration::get_users;
    "config" "add-user"       Site ADMINISTRATORS configuration::add_user;
    "config" "modify-user"    Site ADMINISTRATORS configuration::modify_user;
    "config" "delete-user"    Site ADMINISTRATORS configuration::delete_user;
    "config" "set-sip-secret" Site ADMINISTRATORS configuration::set_sip_secret;
    "system" "get-state"         Read EVERYBODY      system::get_state;
    "system" "get-registrations" Read ADMINISTRATORS system::get_registrations;
    "system" "end-registration"  Write ADMINISTRATORS system::end_registration;
    "system" "get-sessions"      Read ADMINISTRATORS system::get_sessions;
    "system" "end-session"       Write ADMINISTRATORS system::end_session;
    "system" "get-calls"         Read ADMINISTRATORS calls::get_calls;
    "system" "get-call"          Read ADMINISTRATORS calls::get_call;
};

/// The message of this name (S7).
pub(crate) fn find(topic: &str, name: &str) -> Result<&'static Spec, Failure> {
    if let Some(spec) = MESSAGES.iter().find(|spec| spec.topic == topic && spec.name == name) {
        return Ok(spec);
    }
    Err(match MESSAGES.iter().any(|spec| spec.topic == topic) {
        true => Failure::new(Code::UNKNOWN_MESSAGE, format!("topic {topic} has no message {name:?}")),
        false => Failure::new(Code::UNKNOWN_TOPIC, format!("there is no topic {topic:?}")),
    })
}

/// What a message of this name asks for, headers and members, as JSON Schema.
pub(crate) fn asked(topic: &str, name: &str) -> Option<&'static Value> {
    static ASKED: LazyLock<Vec<Value>> = LazyLock::new(|| MESSAGES.iter().map(Spec::request_schema).collect());
    let index = MESSAGES.iter().position(|spec| spec.topic == topic && spec.name == name)?;
    ASKED.get(index)
}

/// Goes on with a message that waited.
pub(crate) fn resume(cx: &mut Context<'_>, waiting: Waiting, arrival: Arrival) -> Outcome {
    match (waiting, arrival) {
        (_, Arrival::Stored(Err(error))) => Err(cx.core.fault(&error.to_string())),
        (Waiting::Records, Arrival::Stored(Ok(store::Reply::History(records)))) => told(&history::recs(&records)),
        (Waiting::Subscribe(addition), Arrival::Stored(Ok(store::Reply::Written))) => {
            told(&subscription::subscribed(cx, addition)?)
        }
        (Waiting::Unsubscribe(ids), Arrival::Stored(Ok(store::Reply::Written))) => {
            told(&subscription::unsubscribed(cx, &ids)?)
        }
        (Waiting::NewUser(new), Arrival::Helped(Finding::Hashed(hashes))) => configuration::hashed(cx, *new, hashes),
        (Waiting::OldPassword { new }, Arrival::Helped(Finding::Verified(true))) => session::verified(cx, new),
        (Waiting::OldPassword { .. }, Arrival::Helped(Finding::Verified(false))) => {
            Err(Failure::of("old-password", Code::NOT_PERMITTED, "the old password is not right"))
        }
        (Waiting::NewPassword, Arrival::Helped(Finding::Hashed(hashes))) => session::hashed(cx, hashes),
        (Waiting::Done(reply), Arrival::Stored(Ok(store::Reply::Written))) => Ok(Progress::Done(reply)),
        (Waiting::Handling(write), Arrival::Stored(Ok(store::Reply::Written))) => handling::written(cx, *write),
        (Waiting::Site(write), Arrival::Stored(Ok(store::Reply::Written))) => Ok(configuration::written(cx, *write)),
        (_, Arrival::Stored(Ok(_)) | Arrival::Helped(_)) => Err(cx.core.fault("the answer is not one to the question")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s7_every_message_is_found_and_unknown_ones_are_told_apart() {
        for spec in MESSAGES {
            let found = find(spec.topic, spec.name).map_err(|failure| failure.text).unwrap();
            assert!(std::ptr::eq(found, spec), "{}/{} is there twice", spec.topic, spec.name);
        }
        let code = |topic, name| find(topic, name).err().unwrap().code;
        assert_eq!(code("fax", "send"), Code::UNKNOWN_TOPIC);
        assert_eq!(code("tel", "teleport"), Code::UNKNOWN_MESSAGE);
    }

    #[test]
    fn s34_telephony_is_asynchronous_and_storage_is_not() {
        for spec in MESSAGES {
            let commands = spec.topic == "tel" && !spec.name.starts_with("get-");
            assert_eq!(spec.mode == Mode::Asynchronous, commands, "{}/{}", spec.topic, spec.name);
        }
    }
}
