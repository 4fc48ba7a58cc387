//! Sound both ways over open calls: the switch beside the relay floor, and beside rtpengine.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::phones::Phones;
use super::{Programs, Scale};
use crate::load::calls::{Calls, Hold};
use crate::load::relay::Sound;
use crate::load::{Rate, drive};
use crate::process::Process;
use crate::report::{Comparison, Goal, Round, Series};
use crate::target::{self, Rtpengine, Switch, free_ports, loopback};

pub(super) fn relay(programs: &Programs, scale: &Scale) -> io::Result<Vec<Comparison>> {
    let switch = Switch::start(&programs.switch, 2 * scale.phones)?;
    let (mut own, addresses) = open()?;
    let mut phones = Phones::register(switch.sip, &switch.users, Some(addresses))?;
    let mut calls = Calls::new(&mut phones.callers, &phones.callees, phones.places, Hold::Kept);

    let (mut at_floor, [a, b]) = open()?;
    let floor = target::floor(&programs.bench, &["relay", &a.to_string(), &b.to_string()])?;

    let peer = programs.rtpengine.as_deref().map(Rtpengine::start).transpose()?;
    let (mut at_peer, addresses) = open()?;
    let mut peer_ports = [Vec::new(), Vec::new()];

    let mut comparisons = Vec::new();
    for &count in &scale.relay_calls {
        let more = count.saturating_sub(calls.held.len());
        let tally = drive(&phones.line, &mut calls, Rate { per_second: 100.0, count: more });
        if let Some(complaint) = tally.complaint {
            return Err(io::Error::other(complaint));
        }
        let own_ports = [calls.held.iter().map(|held| held.media_port).collect(), calls.callee_ports.clone()];
        own.connect(own_ports.map(|ports: Vec<u16>| ports.into_iter().map(loopback).collect()));
        at_floor.connect([vec![floor.address; count], vec![floor.address; count]]);
        if let Some(peer) = &peer {
            for number in peer_ports[0].len()..count {
                let ports = peer.bridge(number, addresses)?;
                peer_ports.iter_mut().zip(ports).for_each(|(ports, port)| ports.push(port));
            }
            at_peer.connect(peer_ports.clone());
        }
        let mut series = vec![Series::new("switch"), Series::new("floor")];
        series.extend(peer.as_ref().map(|_| Series::new("rtpengine")));
        for _ in 0..scale.rounds {
            series[1].rounds.push(round(&floor.process, &mut at_floor, scale.time()));
            series[0].rounds.push(round(&switch.process, &mut own, scale.time()));
            if let Some(peer) = &peer {
                series[2].rounds.push(round(&peer.process, &mut at_peer, scale.time()));
            }
        }
        comparisons.push(Comparison {
            name: "relay",
            what: format!("sound both ways over {count} calls, a packet; the floor: recvmmsg and sendmmsg"),
            unit: "µs CPU",
            series,
            goals: vec![Goal::Ratio("floor", 1.35), Goal::Ratio("rtpengine", 0.5), Goal::MoreAtMost("p99 µs", 8000.0)],
            notes: Vec::new(),
        });
    }
    Ok(comparisons)
}

/// Both ends of the sound, each with the port above free for reports.
pub(super) fn open() -> io::Result<(Sound, [SocketAddr; 2])> {
    let first = free_ports(4)?;
    let addresses = [loopback(first), loopback(first + 2)];
    Ok((Sound::open(addresses)?, addresses))
}

pub(super) fn round(process: &Process, sound: &mut Sound, time: Duration) -> Round {
    let before = process.cpu();
    let mut heard = sound.run(time);
    let spent = process.cpu().saturating_sub(before);
    let more = vec![
        ("p50 µs", heard.delays.per_mille(500)),
        ("p99 µs", heard.delays.per_mille(990)),
        ("lost %", heard.loss() * 100.0),
    ];
    Round { value: spent.as_secs_f64() * 1e6 / heard.received.max(1) as f64, more }
}
