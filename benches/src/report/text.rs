//! The report as a table to be read.

use std::fmt::Write;

use super::{Comparison, Report, Series};
use crate::sample::Spread;

/// All of it.
pub fn table(report: &Report) -> String {
    let (rounds, seconds) = report.rounds;
    let mut text =
        format!("{}\n{rounds} rounds of {seconds} s, the programs in turn; median (least … most)\n", report.machine);
    for comparison in &report.comparisons {
        write(&mut text, comparison);
    }
    if !report.curves.is_empty() {
        text += "\nCPU of a call against the load, µs (! = not clean)\n";
    }
    for (name, points) in &report.curves {
        let _ = write!(text, "    {name:<12}");
        for point in points {
            let _ = write!(text, "  {}/s: {:.0}{}", point.rate, point.cost, if point.clean { "" } else { "!" });
        }
        text.push('\n');
    }
    text
}

fn write(text: &mut String, comparison: &Comparison) {
    let _ = writeln!(text, "\n{}: {}, {}", comparison.name, comparison.what, comparison.unit);
    for series in &comparison.series {
        let _ = writeln!(text, "    {:<12}{:<34}{}", series.name, spread(series.values()), besides(series));
    }
    for verdict in comparison.verdicts() {
        let reached = if verdict.reached { "reached" } else { "NOT REACHED" };
        let _ = writeln!(text, "    goal {:<18}{:<23}{reached}", verdict.wanted, spread(verdict.found));
    }
    for note in &comparison.notes {
        let _ = writeln!(text, "    {note}");
    }
}

fn besides(series: &Series) -> String {
    let figures = series.names().into_iter().filter_map(|name| Some((name, series.more(name)?)));
    figures.map(|(name, figure)| format!("{name} {}", short(figure.median))).collect::<Vec<_>>().join(", ")
}

fn spread(spread: Spread) -> String {
    format!("{} ({} … {})", short(spread.median), short(spread.least), short(spread.most))
}

/// Three digits are as much as a benchmark knows.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 0.1 => format!("{value:.4}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
