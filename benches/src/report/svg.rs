//! The curves as a picture: CPU of a call against the load.

use std::fmt::Write;

use super::{Point, Report};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 48.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 130.0;
const COLOURS: [&str; 4] = ["#1f6feb", "#6e7781", "#cf222e", "#8250df"];

/// A line for each program; an open circle where something failed or was sent twice.
pub fn curve(report: &Report) -> String {
    let points = || report.curves.iter().flat_map(|(_, points)| points);
    let most = |of: fn(&Point) -> f64| points().map(of).fold(1.0, f64::max);
    let (rates, costs) = (round_up(most(|point| point.rate)), round_up(most(|point| point.cost)));
    let x = |rate: f64| LEFT + rate / rates * (WIDTH - LEFT - RIGHT);
    let y = |cost: f64| HEIGHT - BOTTOM - cost / costs * (HEIGHT - BOTTOM - TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">CPU of a call, µs, against calls a second</text>\n"
    );
    for step in 0..=5 {
        let (rate, cost) = (rates * f64::from(step) / 5.0, costs * f64::from(step) / 5.0);
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM + 18.0);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{1:.1}\" y2=\"{1:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{cost:.0}</text>\
             <text x=\"{0:.1}\" y=\"{floor}\" text-anchor=\"middle\">{rate:.0}</text>",
            x(rate),
            y(cost),
            LEFT - 6.0,
            y(cost) + 4.0
        );
    }
    for ((name, points), colour) in report.curves.iter().zip(COLOURS.iter().cycle()) {
        let line: Vec<String> =
            points.iter().map(|point| format!("{:.1},{:.1}", x(point.rate), y(point.cost))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        for point in points {
            let fill = if point.clean { colour } else { "white" };
            let (x, y) = (x(point.rate), y(point.cost));
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{colour}\"/>");
        }
        if let Some(last) = points.last() {
            let (x, y) = (x(last.rate) + 10.0, y(last.cost) + 4.0);
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{name}</text>");
        }
    }
    svg + "</svg>\n"
}

/// The next round number.
fn round_up(value: f64) -> f64 {
    let size = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * size).find(|step| *step >= value).unwrap_or(value)
}
