//! Whole calls: the switch beside seven pairs of the echo floor, and beside Kamailio.

use std::io;
use std::thread;
use std::time::Duration;

use super::phones::{Phones, echo, names};
use super::{Programs, Scale, measured};
use crate::load::exchanges::{CALL, Exchanges};
use crate::load::{Line, Rate, drive};
use crate::process::Process;
use crate::report::{Comparison, Curve, Goal, Point, Round, Series};
use crate::target::{Switch, Target, kamailio};

/// As long as anything is left of a call that has ended: 64·T1 and a little.
const REMAINS: Duration = Duration::from_secs(34);

/// All that takes calls, each with its own telephones.
struct Field {
    switch: (Switch, Phones),
    echo: (Target, Line),
    kamailio: Option<(Target, Phones)>,
}

impl Field {
    fn start(programs: &Programs, scale: &Scale) -> io::Result<Field> {
        let switch = Switch::start(&programs.switch, 2 * scale.phones)?;
        let phones = Phones::register(switch.sip, &switch.users, None)?;
        let kamailio = programs.kamailio.as_deref().map(|program| {
            let kamailio = kamailio(program)?;
            let phones = Phones::register(kamailio.address, &names(scale), None)?;
            Ok::<_, io::Error>((kamailio, phones))
        });
        Ok(Field { switch: (switch, phones), echo: echo(programs)?, kamailio: kamailio.transpose()? })
    }

    fn names(&self) -> Vec<Series> {
        let kamailio = self.kamailio.as_ref().map(|_| "kamailio");
        ["switch", "floor"].into_iter().chain(kamailio).map(Series::new).collect()
    }

    /// A round of each, in the order of [`names`](Self::names).
    fn round(&mut self, rate: Rate) -> io::Result<Vec<Round>> {
        let (echo, line) = &self.echo;
        let floor = measured(&echo.process, || Ok(drive(line, &mut Exchanges::new(CALL), rate)))?;
        let (switch, phones) = &mut self.switch;
        let own = measured(&switch.process, || Ok(phones.call(rate)))?;
        let mut rounds = vec![own, floor];
        if let Some((kamailio, phones)) = &mut self.kamailio {
            rounds.push(measured(&kamailio.process, || Ok(phones.call(rate)))?);
        }
        Ok(rounds)
    }

    fn process(&self) -> &Process {
        &self.switch.0.process
    }
}

pub(super) fn call(programs: &Programs, scale: &Scale) -> io::Result<Comparison> {
    let mut field = Field::start(programs, scale)?;
    let mut series = field.names();
    let rate = scale.rate(scale.call_rate);
    // The first takes what is made once: pages, buffers, nonces.
    field.round(Rate::new(scale.call_rate, scale.time() / 4))?;
    let before = field.process().cpu();
    for _ in 0..scale.rounds {
        for (series, round) in series.iter_mut().zip(field.round(rate)?) {
            series.rounds.push(round);
        }
    }
    let mut notes = Vec::new();
    if scale.patient {
        thread::sleep(REMAINS);
        let spent = field.process().cpu().saturating_sub(before).as_secs_f64() * 1e6;
        let calls = (rate.count * scale.rounds) as f64;
        notes.push(format!("switch, all told until nothing is left of the calls: {:.1} µs a call", spent / calls));
    }
    Ok(Comparison {
        name: "call",
        what: format!("whole calls with digest at {}/s; the floor: 7 pairs of datagrams", scale.call_rate),
        unit: "µs CPU",
        series,
        goals: vec![Goal::Ratio("floor", 2.0), Goal::Ratio("kamailio", 0.5)],
        notes,
    })
}

pub(super) fn curve(programs: &Programs, scale: &Scale) -> io::Result<(Vec<Curve>, Comparison)> {
    let mut field = Field::start(programs, scale)?;
    let mut curves: Vec<Curve> = field.names().into_iter().map(|series| (series.name, Vec::new())).collect();
    let (rates, rounds) = &scale.curve;
    for &rate in rates {
        let mut series = field.names();
        for _ in 0..*rounds {
            for (series, round) in series.iter_mut().zip(field.round(scale.rate(rate))?) {
                series.rounds.push(round);
            }
        }
        for (series, (_, points)) in series.iter().zip(&mut curves) {
            let wrong = |name| series.more(name).map_or(0.0, |spread| spread.median);
            let clean = wrong("failed") == 0.0 && wrong("repeated") == 0.0;
            points.push(Point { rate, cost: series.values().median, clean });
        }
    }
    let fastest =
        |points: &[Point]| points.iter().filter(|point| point.clean).map(|point| point.rate).fold(0.0, f64::max);
    let series = curves.iter().map(|(name, points)| Series {
        name: name.clone(),
        rounds: vec![Round { value: fastest(points), more: Vec::new() }],
    });
    let comparison = Comparison {
        name: "clean",
        what: "the highest rate tried at which no call failed and nothing was sent twice".to_owned(),
        unit: "calls/s",
        series: series.collect(),
        goals: vec![Goal::AtLeast(5000.0)],
        notes: Vec::new(),
    };
    Ok((curves, comparison))
}
