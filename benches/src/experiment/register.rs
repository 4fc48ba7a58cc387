//! REGISTER with digest: the switch beside two pairs of the echo floor, and beside Kamailio.

use std::io;

use super::phones::{Phones, accounts, echo, names};
use super::{Programs, Scale, measured};
use crate::load::drive;
use crate::load::exchanges::{Exchanges, REGISTER};
use crate::load::registrations::Registrations;
use crate::process::Process;
use crate::report::{Comparison, Goal, Round, Series};
use crate::sip::Account;
use crate::target::{Switch, kamailio};

pub(super) fn register(programs: &Programs, scale: &Scale) -> io::Result<Comparison> {
    let rate = scale.rate(scale.register_rate);
    let switch = Switch::start(&programs.switch, 2 * scale.phones)?;
    let phones = Phones::register(switch.sip, &switch.users, None)?;
    let peer = programs.kamailio.as_deref().map(kamailio).transpose()?;
    let peer = peer.map(|peer| Ok::<_, io::Error>((Phones::register(peer.address, &names(scale), None)?, peer)));
    let peer = peer.transpose()?;
    let (echo, line) = echo(programs)?;
    let mut users = accounts(&switch.users);
    let mut series = vec![Series::new("switch"), Series::new("floor")];
    series.extend(peer.as_ref().map(|_| Series::new("kamailio")));
    for _ in 0..scale.rounds {
        series[1].rounds.push(measured(&echo.process, || Ok(drive(&line, &mut Exchanges::new(REGISTER), rate)))?);
        series[0].rounds.push(round(&switch.process, &phones, &mut users, rate)?);
        if let Some((phones, peer)) = &peer {
            series[2].rounds.push(round(&peer.process, phones, &mut users, rate)?);
        }
    }
    Ok(Comparison {
        name: "register",
        what: format!("REGISTER, challenged, at {}/s; the floor: 2 pairs of datagrams", scale.register_rate),
        unit: "µs CPU",
        series,
        goals: vec![Goal::Ratio("floor", 2.0)],
        notes: Vec::new(),
    })
}

fn round(process: &Process, phones: &Phones, users: &mut [Account], rate: crate::load::Rate) -> io::Result<Round> {
    let half = users.len() / 2;
    let mut load = Registrations::new(users, half, phones.places.sip, phones.places.server);
    measured(process, || Ok(drive(&phones.line, &mut load, rate)))
}
