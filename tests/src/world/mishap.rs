//! What befalls the world by chance: connections break, the store fails and recovers, the wall clock jumps, clients and strangers flood.

use std::net::SocketAddr;
use std::time::Duration;

use cas::cas::Endpoint;
use cas::store::{BindingRecord, Change, Request};
use serde_json::json;
use switch::node::StreamId;

use super::client::ClientId;
use super::network::{Weather, below};
use super::{World, site};

/// After something like a restart or a storm, telephones may for so long miss what they would not otherwise.
const SHAKEN: Duration = Duration::from_secs(110);
const DAY: u32 = 24 * 3600;

impl World {
    /// From now on there is an excuse for a while.
    pub(super) fn shake(&mut self) {
        self.shaken = self.now.mono + SHAKEN;
    }

    /// Whether all was calm for as long as anything takes.
    pub(super) fn is_unshaken(&self) -> bool {
        self.weather.lost == 0 && self.now.mono > self.shaken
    }

    /// A write was lost, in a power cut or to the disk, that nobody waited for: a refresh or an end. A binding may end sooner, or be there for longer, than its
    /// telephone was told.
    pub(super) fn lose(&mut self, request: &Request) {
        let Request::Write(changes) = request else { return };
        for change in changes {
            let (Change::PutBinding(BindingRecord { contact, .. }) | Change::RemoveBinding { contact, .. }) = change
            else {
                continue;
            };
            for line in &mut self.phones {
                if contact.contains(&line.phone.config().sip.ip().to_string()) {
                    line.confirmed = None;
                }
            }
        }
    }

    /// One of them, now and then.
    pub(super) fn befall(&mut self) {
        match below(&mut self.random, 9) {
            0 | 1 => self.cut_a_stream(),
            2 | 3 => {
                let weather = Weather::random(&mut self.random);
                self.note(|| format!("{weather:?}"));
                self.set_weather(weather);
            }
            4 => self.restart(),
            5 => self.change_disk(),
            6 => {
                let seconds = i64::from(below(&mut self.random, 4 * DAY)) - i64::from(2 * DAY);
                self.note(|| format!("the wall clock is set by {seconds} s"));
                self.set_clock(seconds);
                self.clock_was_set = true;
            }
            7 => self.flood_as_clients(),
            _ => self.flood_as_stranger(),
        }
    }

    fn cut_a_stream(&mut self) {
        let streams: Vec<StreamId> = self.streams.keys().copied().collect();
        if !streams.is_empty() {
            let stream = streams[below(&mut self.random, streams.len() as u32) as usize];
            self.note(|| format!("{stream:?} is cut"));
            self.cut(stream, true);
        }
    }

    /// Many requests within an instant, sensible and not: each is answered.
    fn flood_as_clients(&mut self) {
        self.settle_flood();
        for _ in 0..50 + below(&mut self.random, 150) {
            let client = ClientId(below(&mut self.random, self.clients.len() as u32) as usize);
            if self.clients[client.0].session.is_none() {
                continue;
            }
            let message = match below(&mut self.random, 5) {
                0 => json!({"topic": "tel", "message": "get-calls"}),
                1 => json!({"topic": "tel", "message": "drop", "call-id": "none"}),
                2 => json!({"topic": "nothing", "message": "at-all"}),
                3 => json!({"topic": "tel"}),
                _ => json!(["no", "object"]),
            };
            let asked = match message.is_object() {
                true => self.dress(client, message),
                false => message,
            };
            let id = self.post(client, Endpoint::Execute, &asked);
            self.flood.insert(id);
        }
        for _ in 0..20 {
            let body = json!({"app-id": "world", "username": site::NOBODY, "password": "guess"});
            let id = self.post_in(None, Endpoint::Login, body.to_string().into());
            self.flood.insert(id);
        }
        self.settle_flood();
    }

    /// The answers of a flood that have come.
    pub(super) fn settle_flood(&mut self) {
        for id in std::mem::take(&mut self.flood) {
            if self.replies.remove(&id).is_none() {
                self.flood.insert(id);
            }
        }
    }

    /// Somebody nobody knows asks and calls.
    fn flood_as_stranger(&mut self) {
        let host = [10, 0, 9, below(&mut self.random, 250) as u8 + 1];
        let from = SocketAddr::from((host, 5060));
        for number in 0..20 + below(&mut self.random, 40) {
            let method = ["OPTIONS", "INVITE", "REGISTER", "SUBSCRIBE", "BYE"][below(&mut self.random, 5) as usize];
            let nonce = below(&mut self.random, u32::MAX);
            let message = format!(
                "{method} sip:502@switch.local SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKs{nonce}x{number};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:stranger@{from}>;tag=s{nonce}\r\nTo: <sip:502@switch.local>\r\n\
                 Call-ID: s{nonce}{number}@{from}\r\nCSeq: 1 {method}\r\nContact: <sip:stranger@{from}>\r\nContent-Length: 0\r\n\r\n"
            );
            self.send_from(from, message);
        }
    }
}
