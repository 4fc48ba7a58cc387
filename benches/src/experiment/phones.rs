//! Registered telephones before a switch or a peer.

use std::io;
use std::net::SocketAddr;

use super::Scale;
use crate::load::calls::{Calls, Hold, Places};
use crate::load::registrations::Registrations;
use crate::load::{Line, Rate, Tally, drive};
use crate::sip::Account;
use crate::target::{self, free_ports, loopback, secret};

/// Half of them call, half are called.
pub(super) struct Phones {
    pub(super) line: Line,
    pub(super) callers: Vec<Account>,
    pub(super) callees: Vec<String>,
    pub(super) places: Places,
    /// Nobody reads these: what reports a switch sends may come.
    _media: Vec<std::net::UdpSocket>,
}

impl Phones {
    /// Registers these users.
    pub(super) fn register(server: SocketAddr, users: &[String], media: Option<[SocketAddr; 2]>) -> io::Result<Phones> {
        let first = free_ports(2)?;
        let sip = [loopback(first), loopback(first + 1)];
        let line = Line::open(sip, server)?;
        let mut kept = Vec::new();
        let media = match media {
            Some(media) => media,
            None => {
                let first = free_ports(4)?;
                for port in first..first + 4 {
                    kept.push(std::net::UdpSocket::bind(loopback(port))?);
                }
                [loopback(first), loopback(first + 2)]
            }
        };
        let (callers, callees) = users.split_at(users.len() / 2);
        let mut accounts = accounts(users);
        register_all(&line, &mut accounts, callers.len(), sip)?;
        accounts.truncate(callers.len());
        let places = Places { sip, media, server };
        Ok(Phones { line, callers: accounts, callees: callees.to_vec(), places, _media: kept })
    }

    /// Calls between them that are hung up at once.
    pub(super) fn call(&mut self, rate: Rate) -> Tally {
        let mut calls = Calls::new(&mut self.callers, &self.callees, self.places, Hold::Not);
        drive(&self.line, &mut calls, rate)
    }
}

/// As many names as there are telephones.
pub(super) fn names(scale: &Scale) -> Vec<String> {
    (0..2 * scale.phones).map(|n| (1000 + n).to_string()).collect()
}

pub(super) fn accounts(users: &[String]) -> Vec<Account> {
    users.iter().map(|user| Account::new(user.clone(), secret(user))).collect()
}

/// Each of them once: the first so many where calls come from, the others where calls go to.
pub(super) fn register_all(
    line: &Line,
    accounts: &mut [Account],
    callers: usize,
    sip: [SocketAddr; 2],
) -> io::Result<()> {
    let rate = Rate { per_second: 200.0, count: accounts.len() };
    let mut load = Registrations::new(accounts, callers, sip, line.server());
    let tally = drive(line, &mut load, rate);
    match tally.complaint {
        Some(complaint) => Err(io::Error::other(format!("telephones cannot register: {complaint}"))),
        None => Ok(()),
    }
}

/// Registers these users' telephones from here, for a program that is to hear their calls at this address.
pub(super) fn register_at(phone: SocketAddr, server: SocketAddr, users: &[String]) -> io::Result<()> {
    let sip = [loopback(free_ports(2)?), phone];
    let line = Line::open(sip, server)?;
    register_all(&line, &mut accounts(users), 0, sip)
}

/// The echo floor with its two sockets.
pub(super) fn echo(programs: &super::Programs) -> io::Result<(target::Target, Line)> {
    let echo = target::floor(&programs.bench, &["echo"])?;
    let first = free_ports(2)?;
    let line = Line::open([loopback(first), loopback(first + 1)], echo.address)?;
    Ok((echo, line))
}
