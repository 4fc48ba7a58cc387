//! CAS clients: a small request beside bare hyper, and the time from make-call to the INVITE.

use std::io;

use super::phones::register_at;
use super::{Programs, Scale, measured};
use crate::load::clients::{Connection, Maker, ask_all, make_calls, post};
use crate::report::{Comparison, Goal, Series};
use crate::sockets;
use crate::target::{self, Switch, free_ports, loopback};

/// Connections that stay open: one for each client.
const CLIENTS: usize = 16;
const GET_CALLS: &str = r#"{"topic":"tel","message":"get-calls","request-id":1}"#;

pub(super) fn request(programs: &Programs, scale: &Scale) -> io::Result<Comparison> {
    let switch = Switch::start(&programs.switch, 2)?;
    let session = switch.log_in(&switch.users[0])?;
    let request = post("/Execute", Some(&session), GET_CALLS);
    let open = |address| {
        (0..CLIENTS).map(|_| Ok((Connection::open(address)?, request.clone()))).collect::<io::Result<Vec<_>>>()
    };
    let floor = target::floor(&programs.bench, &["http"])?;
    let (mut own, mut at_floor) = (open(switch.http)?, open(floor.address)?);
    let mut series = vec![Series::new("switch"), Series::new("floor")];
    let rate = scale.rate(scale.request_rate);
    for _ in 0..scale.rounds {
        series[1].rounds.push(measured(&floor.process, || ask_all(&mut at_floor, rate))?);
        series[0].rounds.push(measured(&switch.process, || ask_all(&mut own, rate))?);
    }
    Ok(Comparison {
        name: "request",
        what: format!("get-calls with session and permission at {}/s; the floor: bare hyper", scale.request_rate),
        unit: "µs CPU",
        series,
        goals: vec![Goal::Ratio("floor", 1.5)],
        notes: Vec::new(),
    })
}

pub(super) fn make_call(programs: &Programs, scale: &Scale) -> io::Result<Comparison> {
    let switch = Switch::start(&programs.switch, CLIENTS + 1)?;
    let phone = loopback(free_ports(2)?);
    register_at(phone, switch.sip, &switch.users)?;
    let phone = sockets::udp(phone)?;
    let (dest, users) = switch.users.split_last().ok_or_else(|| io::Error::other("no users"))?;
    let mut makers = Vec::new();
    for user in users {
        let session = switch.log_in(user)?;
        let body = format!(r#"{{"topic":"tel","message":"make-call","dest":"{dest}"}}"#);
        makers.push(Maker::new(Connection::open(switch.http)?, post("/Execute", Some(&session), &body), user.clone()));
    }
    let mut series = Series::new("switch");
    for _ in 0..scale.rounds {
        series.rounds.push(measured(&switch.process, || make_calls(&mut makers, &phone, scale.rate(scale.make_rate)))?);
    }
    Ok(Comparison {
        name: "make-call",
        what: format!(
            "from the request to the INVITE at {}/s: the times; the value: until the phone is busy",
            scale.make_rate
        ),
        unit: "µs CPU",
        series: vec![series],
        goals: vec![Goal::MoreAtMost("p99 µs", 1000.0)],
        notes: Vec::new(),
    })
}
