//! The benchmarks at a scale that means nothing: every experiment runs, nothing fails in it, and its report can be read.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use benches::experiment::{self, Experiment, Programs, Scale};
use benches::report::{Report, svg, text};
use serde_json::Value;

/// The switch and the floors; Kamailio, rtpengine and SIPp where they are installed.
fn programs() -> Programs {
    let bench = Path::new(env!("CARGO_BIN_EXE_benches"));
    Programs { bench: bench.to_owned(), ..Programs::find(Some(tests::process::binary().to_owned())).unwrap() }
}

#[test]
fn every_experiment_runs_and_its_report_can_be_read() {
    let (programs, scale) = (programs(), Scale::tiny());
    let mut report = Report::new(&scale);
    for experiment in Experiment::ALL {
        experiment::run(*experiment, &programs, &scale, &mut report)
            .unwrap_or_else(|error| panic!("{experiment:?}: {error}"));
    }

    let read: Value = serde_json::from_str(&report.json().to_string()).unwrap();
    let comparisons = read["comparisons"].as_array().unwrap();
    let named = |name: &str| comparisons.iter().filter(|comparison| comparison["name"] == name).count();
    for name in ["call", "register", "relay", "music", "request", "make-call", "memory", "beside", "clean"] {
        assert_eq!(named(name), 1, "{name}");
    }
    for comparison in comparisons {
        for series in comparison["series"].as_array().unwrap() {
            for round in series["rounds"].as_array().unwrap() {
                assert!(round["value"].is_number(), "{comparison}");
                assert!(round["failed"].is_null() || round["failed"] == 0.0, "{comparison}");
            }
        }
    }
    assert!(read["curves"].as_array().unwrap().len() >= 2);
    assert!(text::table(&report).contains("goal ≤ 2× floor"));
    let picture = svg::curve(&report);
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    assert!(picture.matches("<polyline").count() >= 2);
}
