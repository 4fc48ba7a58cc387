//! Phones that register: without credentials, challenged, with them (RFC 3261 §22). Each binding is refreshed again and again, as phones do.

use std::fmt::Write;
use std::net::SocketAddr;

use super::{Bench, Id, Load, Side};
use crate::sip::{Account, Message, finish};

/// Phones, in turn.
#[derive(Debug)]
pub struct Registrations<'a> {
    accounts: &'a mut [Account],
    /// So many of them call, and register from where they call; the others from where they are called.
    callers: usize,
    sip: [SocketAddr; 2],
    server: SocketAddr,
    next: usize,
    /// The phone of each that is under way.
    under_way: Vec<usize>,
    number: u32,
}

impl<'a> Registrations<'a> {
    /// Phones at the addresses of the line, of whom the first so many are those who call.
    pub fn new(
        accounts: &'a mut [Account],
        callers: usize,
        sip: [SocketAddr; 2],
        server: SocketAddr,
    ) -> Registrations<'a> {
        Registrations { accounts, callers, sip, server, next: 0, under_way: Vec::new(), number: 0 }
    }

    fn ask(&mut self, bench: &mut Bench<'_>, id: Id) {
        let phone = self.under_way[id.slot];
        self.number += 1;
        let side = if phone < self.callers { Side::Caller } else { Side::Callee };
        let (number, local, server) = (self.number, self.sip[side as usize], self.server);
        let account = &mut self.accounts[phone];
        let uri = format!("sip:{server}");
        let authorization = account.authorization("REGISTER", &uri);
        let (user, Id { slot, serial }) = (&account.user, id);
        let mut text = String::with_capacity(800);
        let _ = write!(
            text,
            "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKr{serial}.{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{server}>;tag=r{serial}\r\nTo: <sip:{user}@{server}>\r\n\
             Call-ID: r{slot}.{serial}.{user}\r\nCSeq: {number} REGISTER\r\nContact: <sip:{user}@{local}>\r\n\
             Expires: 3600\r\n{authorization}User-Agent: load\r\n"
        );
        bench.ask(id, side, finish(text, ""));
    }
}

impl Load for Registrations<'_> {
    fn begin(&mut self, bench: &mut Bench<'_>) {
        let id = bench.begin();
        let phone = self.next;
        self.next = (self.next + 1) % self.accounts.len();
        self.accounts[phone].forget();
        if self.under_way.len() <= id.slot {
            self.under_way.resize(id.slot + 1, 0);
        }
        self.under_way[id.slot] = phone;
        self.ask(bench, id);
    }

    fn receive(&mut self, bench: &mut Bench<'_>, _side: Side, datagram: &[u8]) {
        let Some(message) = Message::read(datagram) else {
            return bench.complain(|| "something that is no SIP".to_owned());
        };
        let Some(id) = identify(message.call_id) else { return bench.repeated() };
        if !bench.is_open(id) {
            return bench.repeated();
        }
        match message.status {
            100 => {}
            401 | 407 => {
                self.accounts[self.under_way[id.slot]].challenged(&message);
                self.ask(bench, id);
            }
            200 if message.contact.is_empty() => bench.failed(id, || "a 200 without the binding".to_owned()),
            200 => {
                bench.reached(id);
                bench.done(id);
            }
            other => bench.failed(id, || format!("REGISTER was answered {other}")),
        }
    }
}

fn identify(call_id: &str) -> Option<Id> {
    let mut parts = call_id.strip_prefix('r')?.split('.');
    Some(Id { slot: parts.next()?.parse().ok()?, serial: parts.next()?.parse().ok()? })
}
