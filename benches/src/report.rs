//! What was measured: every round of every program, and its ratios to what it is measured against.

pub mod svg;
pub mod text;

use std::fs;

use serde_json::{Value, json};

use crate::experiment::Scale;
use crate::sample::Spread;

/// All experiments of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it ran on, in a line.
    pub machine: String,
    /// Rounds, and seconds of each.
    pub rounds: (usize, f64),
    /// What was compared.
    pub comparisons: Vec<Comparison>,
    /// CPU of a call against the load: calls a second, microseconds, and whether all went well.
    pub curves: Vec<Curve>,
}

/// A program and its points, in the order of the load.
pub type Curve = (String, Vec<Point>);

/// A point of a curve.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Calls a second.
    pub rate: f64,
    /// CPU of a call in microseconds.
    pub cost: f64,
    /// No failure, nothing sent twice.
    pub clean: bool,
}

/// The switch beside others, in the same rounds.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Its name, without spaces.
    pub name: &'static str,
    /// What was done.
    pub what: String,
    /// Of the values.
    pub unit: &'static str,
    /// The switch first.
    pub series: Vec<Series>,
    /// What is wanted.
    pub goals: Vec<Goal>,
    /// What is to be said besides.
    pub notes: Vec<String>,
}

/// The rounds of one program.
#[derive(Clone, Debug)]
pub struct Series {
    /// The program.
    pub name: String,
    /// Its rounds.
    pub rounds: Vec<Round>,
}

/// One round.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// What is compared.
    pub value: f64,
    /// What was seen besides.
    pub more: Vec<(&'static str, f64)>,
}

/// What is wanted of the switch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The value is at most so many times that of this series.
    Ratio(&'static str, f64),
    /// The value is at most this.
    AtMost(f64),
    /// The value is at least this.
    AtLeast(f64),
    /// This of the figures besides is at most so much.
    MoreAtMost(&'static str, f64),
}

/// A goal and what came of it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What is wanted, in words.
    pub wanted: String,
    /// What is.
    pub found: Spread,
    /// Whether it is reached, by the median.
    pub reached: bool,
}

impl Report {
    /// Without any experiment yet.
    pub fn new(scale: &Scale) -> Report {
        Report {
            machine: machine(),
            rounds: (scale.rounds, scale.seconds),
            comparisons: Vec::new(),
            curves: Vec::new(),
        }
    }

    /// All of it.
    pub fn json(&self) -> Value {
        let curves = self.curves.iter().map(|(name, points)| {
            let points: Vec<Value> = points
                .iter()
                .map(|point| json!({"rate": point.rate, "cost": point.cost, "clean": point.clean}))
                .collect();
            json!({"name": name, "points": points})
        });
        json!({
            "machine": self.machine,
            "rounds": self.rounds.0,
            "seconds": self.rounds.1,
            "comparisons": self.comparisons.iter().map(Comparison::json).collect::<Vec<_>>(),
            "curves": curves.collect::<Vec<_>>(),
        })
    }
}

impl Comparison {
    /// One of the series.
    pub fn series(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.name == name)
    }

    /// The switch's value over another's, round by round: they were measured side by side.
    pub fn ratio(&self, other: &str) -> Option<Spread> {
        let (own, other) = (self.series.first()?, self.series(other)?);
        let ratios: Vec<f64> =
            own.rounds.iter().zip(&other.rounds).map(|(own, other)| own.value / other.value).collect();
        (!ratios.is_empty()).then(|| Spread::of(&ratios))
    }

    /// What came of the goals; those against a program that was not there are left out.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let Some(own) = self.series.first() else { return Vec::new() };
        let verdict = |goal: &Goal| {
            let (wanted, found, reached): (String, Spread, fn(f64, f64) -> bool) = match *goal {
                Goal::Ratio(other, most) => {
                    (format!("≤ {most}× {other}"), self.ratio(other)?, |found, most| found <= most)
                }
                Goal::AtMost(most) => (format!("≤ {most} {}", self.unit), own.values(), |found, most| found <= most),
                Goal::AtLeast(least) => {
                    (format!("≥ {least} {}", self.unit), own.values(), |found, least| found >= least)
                }
                Goal::MoreAtMost(name, most) => {
                    (format!("{name} ≤ {most}"), own.more(name)?, |found, most| found <= most)
                }
            };
            let (Goal::Ratio(_, limit) | Goal::AtMost(limit) | Goal::AtLeast(limit) | Goal::MoreAtMost(_, limit)) =
                *goal;
            Some(Verdict { wanted, reached: reached(found.median, limit), found })
        };
        self.goals.iter().filter_map(verdict).collect()
    }

    fn json(&self) -> Value {
        let rounds = |series: &Series| -> Vec<Value> {
            let round = |round: &Round| {
                let mut value = json!({"value": round.value});
                for (name, more) in &round.more {
                    value[*name] = json!(more);
                }
                value
            };
            series.rounds.iter().map(round).collect()
        };
        let series: Vec<Value> =
            self.series.iter().map(|series| json!({"name": series.name, "rounds": rounds(series)})).collect();
        let goals: Vec<Value> = self
            .verdicts()
            .into_iter()
            .map(|verdict| {
                let Spread { median, least, most } = verdict.found;
                json!({"wanted": verdict.wanted, "median": median, "least": least, "most": most, "reached": verdict.reached})
            })
            .collect();
        json!({"name": self.name, "what": self.what, "unit": self.unit, "series": series, "goals": goals, "notes": self.notes})
    }
}

impl Series {
    /// Of a program.
    pub fn new(name: &str) -> Series {
        Series { name: name.to_owned(), rounds: Vec::new() }
    }

    /// The values of the rounds.
    pub fn values(&self) -> Spread {
        Spread::of(&self.rounds.iter().map(|round| round.value).collect::<Vec<_>>())
    }

    /// A figure besides.
    pub fn more(&self, name: &str) -> Option<Spread> {
        let of = |round: &Round| round.more.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        let values: Vec<f64> = self.rounds.iter().filter_map(of).collect();
        (!values.is_empty()).then(|| Spread::of(&values))
    }

    /// The names of the figures besides.
    pub fn names(&self) -> Vec<&'static str> {
        self.rounds.first().map(|round| round.more.iter().map(|(name, _)| *name).collect()).unwrap_or_default()
    }
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "{cores} cores, {}, Linux {}, load {load} at the start",
        model.trim_start_matches(['\t', ' ', ':']),
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, values: &[f64]) -> Series {
        let rounds = values.iter().map(|value| Round { value: *value, more: vec![("p99 µs", *value)] }).collect();
        Series { name: name.to_owned(), rounds }
    }

    #[test]
    fn goals_are_judged_by_the_median_of_the_ratios_of_each_round() {
        let comparison = Comparison {
            name: "call",
            what: String::new(),
            unit: "µs",
            series: vec![series("switch", &[10.0, 30.0, 21.0]), series("floor", &[10.0, 10.0, 10.0])],
            goals: vec![
                Goal::Ratio("floor", 2.0),
                Goal::Ratio("absent", 1.0),
                Goal::AtLeast(21.0),
                Goal::MoreAtMost("p99 µs", 20.0),
            ],
            notes: Vec::new(),
        };
        let verdicts = comparison.verdicts();
        let reached: Vec<bool> = verdicts.iter().map(|verdict| verdict.reached).collect();
        assert_eq!(reached, [false, true, false]);
        assert!((verdicts[0].found.median - 2.1).abs() < 1e-9);
    }
}
