//! What the clients do in a random walk, and whether they are answered rightly: an action offered is accepted, an action accepted was offered (invariant 6).

use cas::control::{CallControl, CallState};
use serde_json::{Map, Value, json};

use super::client::{ClientId, rows};
use super::deed::Deed;
use super::network::below;
use super::{World, site};

/// The telephony actions of a call.
const ACTIONS: [&str; 10] = [
    "drop",
    "answer",
    "hold",
    "unhold",
    "send-digits",
    "blind-transfer",
    "redirect",
    "consult",
    "complete-transfer",
    "park",
];
/// Errors of the protocol that an offered action may meet because of its destination (`cas/REFERENCE.md`).
const BAD_VALUE: u64 = 5;
const NOT_FOUND: u64 = 11;
const OVERLOADED: u64 = 20;
const NO_ROUTE: u64 = 21;
const NOT_REGISTERED: u64 = 22;
const BUSY: u64 = 24;

impl World {
    pub(super) fn act_as_client(&mut self, client: ClientId) {
        let state = &self.clients[client.0];
        if state.session.is_none() {
            if state.login.is_none() {
                self.begin_login(client);
            }
            return;
        }
        if !state.view.complete {
            return self.subscribe(client);
        }
        match below(&mut self.random, 22) {
            0..6 => self.make_call(client),
            6..14 => self.act_on_a_call(client),
            20 => self.pick_up(client),
            21 => self.unpark(client),
            14..16 => {
                if self.clients[client.0].poll.is_none() {
                    let timeout = u64::from(below(&mut self.random, 20));
                    self.begin_poll(client, timeout);
                }
            }
            16 => self.break_poll(client),
            17 => self.log_out(client),
            18 => self.unpark(client),
            _ => self.subscribe(client),
        }
    }

    /// To its user's calls, and to what is parked.
    pub(super) fn subscribe(&mut self, client: ClientId) {
        let wanted = json!([["tel", "device"], ["tel", "park"]]);
        let message = json!({"topic": "subscribe", "message": "subscribe-events", "subscribe": wanted});
        self.execute(client, message);
    }

    fn make_call(&mut self, client: ClientId) {
        let dest = self.something_to_dial(None);
        let asked = self.dress(client, json!({"topic": "tel", "message": "make-call", "dest": dest}));
        let reply = self.execute_as_is(client, &asked);
        if self.chance(20) {
            self.repeat(client, &asked, &reply);
        }
    }

    /// What is parked is offered to whoever can have it, and he gets it (invariant 6).
    fn unpark(&mut self, client: ClientId) {
        let reply = self.execute_at_once(client, json!({"topic": "tel", "message": "get-parked"}));
        let Ok(rows) = rows(&reply["parked"]) else { self.fail(&format!("no rows: {reply}")) };
        let orbit = rows.first().map_or(json!("700"), |row| row["orbit"].clone());
        let offered = rows.first().is_some_and(|row| row["actions"] == json!(["unpark"]));
        let reply = self.execute_at_once(client, json!({"topic": "tel", "message": "unpark", "orbit": orbit}));
        if (reply["error"] == 0) != offered {
            self.fail(&format!("unpark was offered: {offered}; it was answered {reply} for {rows:?}"));
        }
    }

    /// What rings at a user's is picked up, or what is parked beside him got: where there is something, and only there.
    fn pick_up(&mut self, client: ClientId) {
        let own = self.clients[client.0].user;
        let ringing: Vec<&str> = site::USERS
            .into_iter()
            .filter(|user| self.ends_of(user).iter().any(|call| call.state == CallState::Offering))
            .collect();
        let ext = if ringing.is_empty() { self.choose(&site::USERS) } else { self.choose(&ringing) };
        let rings = self.ends_of(ext).iter().any(|call| call.state == CallState::Offering);
        let is_parked = self.parked().iter().any(|orbit| orbit == ext);
        let full = self.node.engine().status().calls >= self.settings.max_calls;
        let reply = self.execute_at_once(client, json!({"topic": "tel", "message": "pickup", "ext": ext}));
        let right = match reply["error"].as_u64() {
            Some(0) => (rings || is_parked) && !full,
            // Nobody picks up what he himself makes ring.
            Some(NOT_FOUND) => !is_parked,
            Some(OVERLOADED) => full,
            Some(NOT_REGISTERED) => rings || is_parked,
            _ => false,
        };
        if !right {
            self.fail(&format!(
                "{own} picks up at {ext} (rings: {rings}, parked: {is_parked}, full: {full}) and is answered {reply}"
            ));
        }
    }

    /// A request that comes again gets the first one's reply, and nothing is done twice.
    fn repeat(&mut self, client: ClientId, asked: &Value, first: &Value) {
        let legs = self.open_legs();
        let pending = self.clients[client.0].view.pending.clone();
        let again = self.execute_as_is(client, asked);
        if again["response"] != first["response"] || again["call-id"] != first["call-id"] || legs != self.open_legs() {
            self.fail(&format!("a repetition of {asked} was answered {again}, not {first}"));
        }
        self.clients[client.0].view.pending = pending;
    }

    /// An action offered is accepted, one not offered is refused (invariant 6).
    fn act_on_a_call(&mut self, client: ClientId) {
        let calls = self.calls(client);
        if calls.is_empty() {
            return;
        }
        let offers = |call: &&Map<String, Value>, action: &str| {
            call["actions"].as_array().is_some_and(|of| of.contains(&json!(action)))
        };
        // Who has asked somebody else goes through with it, more often than not.
        if let Some(call) = calls.iter().find(|call| offers(call, "complete-transfer")).filter(|_| self.chance(50)) {
            return self.complete_a_transfer(client, call, &calls, true);
        }
        let call = &calls[below(&mut self.random, calls.len() as u32) as usize];
        let offered: Vec<&str> = call["actions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        // Mostly what is offered.
        let action = match self.chance(70) {
            true => offered.get(below(&mut self.random, 1 + offered.len() as u32) as usize).copied(),
            false => None,
        };
        let action = action.unwrap_or_else(|| self.choose(&ACTIONS));
        let offered = offered.contains(&action);
        if action == "complete-transfer" {
            return self.complete_a_transfer(client, call, &calls, offered);
        }
        let mut message = json!({"topic": "tel", "message": action, "call-id": call["call-id"]});
        let mut excuses = Vec::new();
        match action {
            "send-digits" => message["digits"] = "12#".into(),
            "blind-transfer" | "redirect" | "consult" => {
                let dest = match action {
                    "blind-transfer" => self.somewhere_to_send(),
                    _ => self.something_to_dial(None),
                };
                message["dest"] = dest.as_str().into();
                excuses = self.excuses(client, action, &dest, call);
            }
            "park" if self.chance(50) => {
                message["orbit"] = self.choose(&["700", "701", "502"]).into();
                excuses = vec![Excuse::May(BUSY)];
            }
            _ => {}
        }
        let reply = self.execute_at_once(client, message);
        let error = reply["error"].as_u64().unwrap_or_default();
        let right = match (offered, excuses.as_slice()) {
            (false, _) => error != 0,
            (true, []) => error == 0,
            (true, excuses) if excuses.contains(&Excuse::Must(error)) => true,
            (true, [Excuse::Must(_), ..]) => false,
            (true, excuses) => error == 0 || excuses.contains(&Excuse::May(error)),
        };
        if !right {
            self.fail(&format!("{action} was offered: {offered}; it was answered {reply} for {call:?}"));
        }
        if action == "blind-transfer" && error == 0 {
            self.saw(Deed::Transferred);
        }
    }

    /// Why an action that is offered may be refused, or must be, because of where the call is to go.
    fn excuses(&self, client: ClientId, action: &str, dest: &str, call: &Map<String, Value>) -> Vec<Excuse> {
        let full = self.node.engine().status().calls >= self.settings.max_calls;
        let own = self.clients[client.0].user;
        let far = call["parties"][1][0].as_str();
        let is_code = dest.starts_with('*') && dest != "*43";
        match (action, dest) {
            ("consult", _) if full => vec![Excuse::Must(OVERLOADED)],
            (_, "999" | "*68999") => vec![Excuse::Must(NO_ROUTE)],
            // Who is parked takes no call more than there was. Another may be parked there.
            ("blind-transfer", "*68") => Vec::new(),
            ("blind-transfer", orbit) if orbit.starts_with("*68") || orbit.starts_with('7') => vec![Excuse::May(BUSY)],
            ("blind-transfer", _) if is_code => vec![Excuse::Must(NO_ROUTE)],
            ("blind-transfer", _) if full => vec![Excuse::Must(OVERLOADED)],
            ("blind-transfer", user) if user == own || Some(user) == far => {
                vec![Excuse::Must(BAD_VALUE), Excuse::Must(NOT_REGISTERED)]
            }
            ("blind-transfer", "*43") => Vec::new(),
            ("blind-transfer", _) => vec![Excuse::May(NOT_REGISTERED)],
            // What is not answered yet can be sent to people only.
            ("redirect", orbit) if is_code || orbit.starts_with('7') => vec![Excuse::Must(BAD_VALUE)],
            // It may have been there already.
            ("redirect", user) if user == own => vec![Excuse::Must(BAD_VALUE), Excuse::Must(NOT_REGISTERED)],
            ("redirect", "*43") => Vec::new(),
            ("redirect", _) => vec![Excuse::May(BAD_VALUE), Excuse::May(NOT_REGISTERED)],
            // The user's telephones are all one device.
            ("consult", user) if user.trim_start_matches("*80") == own => vec![Excuse::Must(BAD_VALUE)],
            ("consult", "*43") => Vec::new(),
            // Nothing is there to be got, or to be parked.
            ("consult", there) if there.starts_with('7') || (is_code && !there.starts_with("*80")) => {
                vec![Excuse::May(NO_ROUTE)]
            }
            ("consult", _) => vec![Excuse::May(NOT_REGISTERED)],
            _ => Vec::new(),
        }
    }

    /// That it is offered says that it can be completed with one of the user's other calls.
    fn complete_a_transfer(
        &mut self,
        client: ClientId,
        call: &Map<String, Value>,
        calls: &[Map<String, Value>],
        offered: bool,
    ) {
        let first = below(&mut self.random, calls.len() as u32) as usize;
        let mut replies = Vec::new();
        for with in calls.iter().cycle().skip(first).take(calls.len()) {
            let (call, with) = (&call["call-id"], &with["call-id"]);
            let message = json!({"topic": "tel", "message": "complete-transfer", "call-id": call, "with": with});
            let reply = self.execute_at_once(client, message);
            let accepted = reply["error"] == 0;
            replies.push(reply);
            if accepted {
                self.saw(Deed::Transferred);
                break;
            }
        }
        if replies.iter().any(|reply| reply["error"] == 0) != offered {
            self.fail(&format!("complete-transfer was offered: {offered}; it was answered {replies:?} for {call:?}"));
        }
    }
}

/// A refusal of what was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excuse {
    /// With this error it may be refused.
    May(u64),
    /// With this error it has to be.
    Must(u64),
}
