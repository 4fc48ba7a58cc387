//! Whole calls between registered phones: INVITE with the caller's credentials, 100, 180, 200, ACK, BYE, 200, on both sides of the switch.
//!
//! A caller uses his nonce again with the next count, as RFC 7616 §3.3 has it, so that a call is 14 datagrams; a challenge costs three more and is
//! answered. The callees answer at once.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Instant;

use super::{Bench, Id, Load, Side, T1};
use crate::sip::{Account, Message, finish, session};

/// What becomes of a call that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Hung up at once.
    Not,
    /// Kept.
    Kept,
}

/// Where the phones are.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// SIP of those who call and of those who are called.
    pub sip: [SocketAddr; 2],
    /// Their sound.
    pub media: [SocketAddr; 2],
    /// Who is under load.
    pub server: SocketAddr,
}

/// A call, from the caller's end.
#[derive(Clone, Copy, Debug)]
struct Caller {
    account: usize,
    callee: usize,
    number: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Inviting,
    Up,
    HangingUp,
}

/// A call that is kept, and what is needed to end it.
#[derive(Clone, Debug)]
pub struct Held {
    call_id: String,
    from: String,
    to: String,
    target: String,
    routes: String,
    /// The switch's port for the caller's sound.
    pub media_port: u16,
}

/// A call, from the callee's end.
#[derive(Debug)]
struct Callee {
    tag: u32,
    acknowledged: bool,
}

/// Calls from the accounts to the users.
#[derive(Debug)]
pub struct Calls<'a> {
    accounts: &'a mut [Account],
    callees: &'a [String],
    places: Places,
    hold: Hold,
    sessions: [String; 2],
    next: usize,
    under_way: Vec<Option<Caller>>,
    /// Answered and not hung up, by the Call-ID that the server gave them.
    answered: HashMap<String, Callee>,
    /// 200s that wait for their ACK, in the order of their time.
    unacknowledged: VecDeque<(Instant, String, Vec<u8>)>,
    tag: u32,
    /// Kept calls.
    pub held: Vec<Held>,
    /// The server's ports for the callees' sound.
    pub callee_ports: Vec<u16>,
    ending: Vec<Held>,
}

impl<'a> Calls<'a> {
    /// None under way.
    pub fn new(accounts: &'a mut [Account], callees: &'a [String], places: Places, hold: Hold) -> Calls<'a> {
        Calls {
            accounts,
            callees,
            places,
            hold,
            sessions: places.media.map(session),
            next: 0,
            under_way: Vec::new(),
            answered: HashMap::new(),
            unacknowledged: VecDeque::new(),
            tag: 0,
            held: Vec::new(),
            callee_ports: Vec::new(),
            ending: Vec::new(),
        }
    }

    /// From now on whoever is called puts the caller on hold as he answers.
    pub fn hold_callers(&mut self) {
        self.sessions[1] = self.sessions[1].replace("a=sendrecv", "a=sendonly");
    }

    /// From now on calls are not kept.
    pub fn set_hold(&mut self, hold: Hold) {
        self.hold = hold;
    }

    /// The next operations end kept calls instead of beginning new ones: all but so many.
    pub fn end_all_but(&mut self, kept: usize) -> usize {
        self.ending = self.held.split_off(kept.min(self.held.len()));
        self.ending.len()
    }

    fn invite(&mut self, bench: &mut Bench<'_>, id: Id) {
        let Some(Some(call)) = self.under_way.get(id.slot) else { return };
        let (local, server) = (self.places.sip[0], self.places.server);
        let account = &mut self.accounts[call.account];
        let uri = format!("sip:{}@{server}", self.callees[call.callee]);
        let authorization = account.authorization("INVITE", &uri);
        let (user, number, Id { slot, serial }) = (&account.user, call.number, id);
        let mut text = String::with_capacity(1200);
        let _ = write!(
            text,
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKc{serial}.{number};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{server}>;tag=c{serial}\r\nTo: <{uri}>\r\nCall-ID: c{slot}.{serial}\r\nCSeq: {number} INVITE\r\n\
             Contact: <sip:{user}@{local}>\r\n{authorization}Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\nUser-Agent: load\r\n"
        );
        bench.ask(id, Side::Caller, finish(text, &self.sessions[0]));
    }

    /// §17.1.1.3: of a refusal.
    fn acknowledge_refusal(&self, bench: &mut Bench<'_>, id: Id, call: &Caller, refusal: &Message<'_>) {
        let (local, server, number, serial) = (self.places.sip[0], self.places.server, call.number, id.serial);
        let (from, to, call_id, callee) = (refusal.from, refusal.to, refusal.call_id, &self.callees[call.callee]);
        let text = format!(
            "ACK sip:{callee}@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKc{serial}.{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} ACK\r\n"
        );
        bench.send(Side::Caller, &finish(text, ""));
    }

    fn within(&self, held: &Held, method: &str, serial: u32, number: u32) -> Vec<u8> {
        let local = self.places.sip[0];
        let Held { call_id, from, to, target, routes, .. } = held;
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{method}{serial}.{number};rport\r\n\
             Max-Forwards: 70\r\n{routes}From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n"
        );
        finish(text, "")
    }

    fn caller_hears(&mut self, bench: &mut Bench<'_>, message: &Message<'_>) {
        if message.status == 0 {
            return self.asked(bench, Side::Caller, message);
        }
        let Some(id) = identify_ending(message).or_else(|| identify(message.call_id)) else {
            return bench.repeated();
        };
        if !bench.is_open(id) {
            return bench.repeated();
        }
        let Some(Some(call)) = self.under_way.get(id.slot).copied() else { return bench.repeated() };
        let number = message.cseq.split(' ').next().and_then(|number| number.parse().ok());
        match (call.stage, message.method, message.status) {
            (Stage::Inviting, "INVITE", 100..=199) => bench.answered(id),
            (Stage::Inviting, "INVITE", 401 | 407) if number == Some(call.number) => {
                self.acknowledge_refusal(bench, id, &call, message);
                self.accounts[call.account].challenged(message);
                self.under_way[id.slot] = Some(Caller { number: call.number + 1, ..call });
                self.invite(bench, id);
            }
            (Stage::Inviting, "INVITE", 200) if number == Some(call.number) => self.up(bench, id, call, message),
            (Stage::HangingUp, "BYE", 200) => {
                self.under_way[id.slot] = None;
                bench.done(id);
            }
            (Stage::Up | Stage::HangingUp, "INVITE", 100..=299) | (_, "INVITE", 401 | 407) => bench.repeated(),
            (_, method, status) => {
                if method == "INVITE" {
                    self.acknowledge_refusal(bench, id, &call, message);
                }
                let method = method.to_owned();
                bench.failed(id, || format!("{method} was answered {status}"));
            }
        }
    }

    fn up(&mut self, bench: &mut Bench<'_>, id: Id, call: Caller, message: &Message<'_>) {
        bench.answered(id);
        bench.reached(id);
        let Some(media_port) = message.media_port().filter(|port| *port != 0) else {
            return bench.failed(id, || "a 200 without a stream".to_owned());
        };
        // §12.1.2: the way back is the Record-Route in reverse.
        let lines = message.record_routes.iter().rev().filter_map(|line| line.strip_prefix("Record-"));
        let routes = lines.fold(String::new(), |routes, line| routes + line + "\r\n");
        let (call_id, from, to) = (message.call_id.to_owned(), message.from.to_owned(), message.to.to_owned());
        let held = Held { call_id, from, to, target: message.contact.to_owned(), routes, media_port };
        bench.send(Side::Caller, &self.within(&held, "ACK", id.serial, call.number));
        match self.hold {
            Hold::Kept => {
                self.under_way[id.slot] = Some(Caller { stage: Stage::Up, ..call });
                self.held.push(held);
                bench.done(id);
            }
            Hold::Not => {
                let number = call.number + 1;
                self.under_way[id.slot] = Some(Caller { stage: Stage::HangingUp, number, ..call });
                let bye = self.within(&held, "BYE", id.serial, number);
                bench.ask(id, Side::Caller, bye);
            }
        }
    }

    fn callee_hears(&mut self, bench: &mut Bench<'_>, message: &Message<'_>) {
        match (message.status, message.method) {
            (0, "INVITE") => self.ring(bench, message),
            (0, "ACK") => {
                if let Some(callee) = self.answered.get_mut(message.call_id) {
                    callee.acknowledged = true;
                }
            }
            (0, "BYE") => {
                if self.answered.remove(message.call_id).is_none() {
                    bench.repeated();
                }
                bench.send(Side::Callee, &message.answer("200 OK", 0, None, ""));
            }
            (0, _) => self.asked(bench, Side::Callee, message),
            (status, method) => {
                let method = method.to_owned();
                bench.complain(|| format!("a callee heard {status} to {method}"));
            }
        }
    }

    fn ring(&mut self, bench: &mut Bench<'_>, invite: &Message<'_>) {
        let contact = Some(self.places.sip[1]);
        let again = self.answered.get(invite.call_id).map(|callee| callee.tag);
        let tag = again.unwrap_or(self.tag + 1);
        let answer = invite.answer("200 OK", tag, contact, &self.sessions[1]);
        if again.is_some() {
            bench.repeated();
            return bench.send(Side::Callee, &answer);
        }
        self.tag = tag;
        let Some(port) = invite.media_port() else {
            return bench.complain(|| "an INVITE without a stream".to_owned());
        };
        bench.send(Side::Callee, &invite.answer("100 Trying", tag, None, ""));
        bench.send(Side::Callee, &invite.answer("180 Ringing", tag, contact, ""));
        bench.send(Side::Callee, &answer);
        self.answered.insert(invite.call_id.to_owned(), Callee { tag, acknowledged: false });
        self.unacknowledged.push_back((bench.now + T1, invite.call_id.to_owned(), answer));
        if self.hold == Hold::Kept {
            self.callee_ports.push(port);
        }
    }

    /// What a switch asks of a phone by itself: whether it is still there.
    fn asked(&mut self, bench: &mut Bench<'_>, side: Side, request: &Message<'_>) {
        match request.method {
            "ACK" => {}
            "OPTIONS" => bench.send(side, &request.answer("200 OK", 0, None, "")),
            _ => {
                bench.send(side, &request.answer("501 Not Implemented", 0, None, ""));
                let method = request.method.to_owned();
                bench.complain(|| format!("a phone was asked to {method}"));
            }
        }
    }
}

impl Load for Calls<'_> {
    fn begin(&mut self, bench: &mut Bench<'_>) {
        let id = bench.begin();
        if self.under_way.len() <= id.slot {
            self.under_way.resize(id.slot + 1, None);
        }
        if let Some(held) = self.ending.pop() {
            self.under_way[id.slot] = Some(Caller { account: 0, callee: 0, number: 9, stage: Stage::HangingUp });
            let text = self.within(&held, "BYE", 0, 9);
            let branch = format!("BYEe{}.{};", id.slot, id.serial);
            let text = String::from_utf8_lossy(&text).replacen("BYE0.9;", &branch, 1);
            return bench.ask(id, Side::Caller, text.into_bytes());
        }
        let (account, callee) = (self.next % self.accounts.len(), self.next % self.callees.len());
        self.next += 1;
        self.under_way[id.slot] = Some(Caller { account, callee, number: 1, stage: Stage::Inviting });
        self.invite(bench, id);
    }

    fn receive(&mut self, bench: &mut Bench<'_>, side: Side, datagram: &[u8]) {
        let Some(message) = Message::read(datagram) else {
            return bench.complain(|| "something that is no SIP".to_owned());
        };
        match side {
            Side::Caller => self.caller_hears(bench, &message),
            Side::Callee => self.callee_hears(bench, &message),
        }
    }

    fn is_quiet(&self) -> bool {
        self.answered.len() <= self.held.len()
    }

    /// §13.3.1.4: a 200 is sent until it is acknowledged.
    fn tick(&mut self, bench: &mut Bench<'_>) {
        while self.unacknowledged.front().is_some_and(|(at, ..)| *at <= bench.now) {
            let Some((at, call_id, answer)) = self.unacknowledged.pop_front() else { return };
            if self.answered.get(&call_id).is_some_and(|callee| !callee.acknowledged) {
                bench.repeated();
                bench.send(Side::Callee, &answer);
                self.unacknowledged.push_back((at + T1, call_id, answer));
            }
        }
    }
}

fn identify(call_id: &str) -> Option<Id> {
    let (slot, serial) = call_id.strip_prefix('c')?.split_once('.')?;
    Some(Id { slot: slot.parse().ok()?, serial: serial.parse().ok()? })
}

/// The BYE of a kept call belongs to another operation than its INVITE did: its branch names it.
fn identify_ending(message: &Message<'_>) -> Option<Id> {
    let branch = message.vias.first()?.split_once("z9hG4bKBYEe")?.1;
    let mut parts = branch.split(['.', ';']);
    Some(Id { slot: parts.next()?.parse().ok()?, serial: parts.next()?.parse().ok()? })
}
