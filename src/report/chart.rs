//! Charts as geometry: the template draws them, so that every word in them is escaped there. Each
//! has a sentence for readers who cannot see it, and its figures as a table.

use serde::Serialize;

use super::axis::{Axis, Scale, Tick, Unit, rounded, step, ticks};

/// Size of a chart in its own units; the page scales it.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;

/// A line, or a layer of stacked bars. `style` is the number of its colour.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) style: usize,
    /// Horizontal and vertical values, in the units of the axes. Points without a vertical value
    /// are not drawn.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

#[derive(Debug, Serialize)]
struct Dot {
    x: f64,
    y: f64,
    says: String,
}

#[derive(Debug, Serialize)]
struct Line {
    style: usize,
    path: String,
    dots: Vec<Dot>,
}

#[derive(Debug, Serialize)]
struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    style: usize,
    says: String,
}

#[derive(Debug, Serialize)]
struct Key {
    name: &'static str,
    style: usize,
}

/// A chart, ready to be drawn.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    title: String,
    note: String,
    summary: String,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x_name: &'static str,
    y_name: &'static str,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    keys: Vec<Key>,
    lines: Vec<Line>,
    bars: Vec<Bar>,
    diagonal: bool,
    rows: Vec<Vec<String>>,
}

fn values(series: &[Series]) -> impl Iterator<Item = f64> {
    series.iter().flat_map(|s| s.points.iter().filter_map(|(_, y)| *y))
}

/// Draws lines over a common horizontal axis; returns `None` if there is nothing to draw.
pub(super) fn lines(title: &str, note: &str, [x, y]: [Axis; 2], series: Vec<Series>) -> Option<Chart> {
    let least = values(&series).fold(f64::INFINITY, f64::min);
    let most = values(&series).fold(f64::NEG_INFINITY, f64::max);
    if least > most {
        return None;
    }
    let across = || series.iter().flat_map(|s| s.points.iter().map(|(x, _)| *x));
    let (low_x, high_x) = (across().fold(f64::INFINITY, f64::min), across().fold(f64::NEG_INFINITY, f64::max));
    let room = ((most - least) * 0.08).max(least.abs() * 0.01).max(1e-6);
    let mut frame = Frame::new(title, note, x, y, (low_x, high_x.max(low_x + 1.0)), (least - room, most + room));
    let x_step = step(high_x - low_x, 6.0).max(1.0);
    frame.chart.x_ticks = ticks(frame.x, x_step, x.unit);
    for each in &series {
        let known: Vec<(f64, f64)> = each.points.iter().filter_map(|(x, y)| Some((*x, (*y)?))).collect();
        let dots = known.iter().map(|&(at, value)| Dot {
            x: frame.x.at(at),
            y: frame.y.at(value),
            says: format!("{}, {} {}: {}", each.name, x.name, x.unit.write(at), y.unit.write(value)),
        });
        let dots: Vec<Dot> = dots.collect();
        let path = dots.iter().map(|dot| format!("{},{}", dot.x, dot.y)).collect::<Vec<_>>().join(" ");
        if let (Some(first), Some(last)) = (known.first(), known.last()) {
            let (from, to) = (y.unit.write(first.1), y.unit.write(last.1));
            frame.chart.summary.push_str(&format!(" {}: from {from} to {to}.", each.name));
        }
        frame.chart.lines.push(Line { style: each.style, path, dots });
    }
    Some(frame.finish(x, y, &series))
}

/// Draws stacked bars, `width` wide, whose layers are the series; all have the same horizontal
/// places. Returns `None` if all are empty.
pub(super) fn bars(title: &str, note: &str, [x, y]: [Axis; 2], width: f64, series: Vec<Series>) -> Option<Chart> {
    let places: Vec<f64> = series.first()?.points.iter().map(|(x, _)| *x).collect();
    let total = |place: usize| series.iter().filter_map(|s| s.points.get(place)?.1).sum::<f64>();
    let most = (0..places.len()).map(total).fold(0.0, f64::max);
    if most <= 0.0 {
        return None;
    }
    let ends = (places.first()? - width / 2.0, places.last()? + width / 2.0);
    let mut frame = Frame::new(title, note, x, y, ends, (0.0, most * 1.05));
    let x_step = step(ends.1 - ends.0, 6.0).max(if x.unit == Unit::Count { 1.0 } else { 0.0 });
    frame.chart.x_ticks = ticks(frame.x, x_step, x.unit);
    let across = rounded((frame.x.at(width) - frame.x.at(0.0)) * 0.82);
    for (place, at) in places.iter().enumerate() {
        let mut below = 0.0;
        for each in &series {
            let Some(value) = each.points.get(place).and_then(|point| point.1).filter(|value| *value > 0.0) else {
                continue;
            };
            let (top, bottom) = (frame.y.at(below + value), frame.y.at(below));
            frame.chart.bars.push(Bar {
                x: rounded(frame.x.at(*at) - across / 2.0),
                y: top,
                width: across,
                height: rounded(bottom - top).max(0.5),
                style: each.style,
                says: format!("{}, {} {}: {}", each.name, x.name, x.unit.write(*at), y.unit.write(value)),
            });
            below += value;
        }
    }
    for each in &series {
        let all = y.unit.write(each.points.iter().filter_map(|(_, y)| *y).sum());
        frame.chart.summary.push_str(&format!(" {}: {all} in all.", each.name));
    }
    Some(frame.finish(x, y, &series))
}

/// Draws points in the unit square, with the diagonal on which both axes agree; returns `None` if
/// there are none.
pub(super) fn against(title: &str, note: &str, [x, y]: [Axis; 2], series: Vec<Series>) -> Option<Chart> {
    values(&series).next()?;
    let mut frame = Frame::new(title, note, x, y, (0.0, 1.0), (0.0, 1.0));
    frame.chart.x_ticks = ticks(frame.x, 0.2, x.unit);
    frame.chart.diagonal = true;
    for each in &series {
        let known = each.points.iter().filter_map(|(x, y)| Some((*x, (*y)?)));
        let dots: Vec<Dot> = known
            .map(|(at, value)| Dot {
                x: frame.x.at(at),
                y: frame.y.at(value),
                says: format!("{} {}: {} {}", x.name, x.unit.write(at), y.name, y.unit.write(value)),
            })
            .collect();
        let path = dots.iter().map(|dot| format!("{},{}", dot.x, dot.y)).collect::<Vec<_>>().join(" ");
        frame.chart.summary.push_str(&format!(" {} points; on the diagonal both agree.", dots.len()));
        frame.chart.lines.push(Line { style: each.style, path, dots });
    }
    Some(frame.finish(x, y, &series))
}

/// A chart that is being made, and its scales.
struct Frame {
    chart: Chart,
    x: Scale,
    y: Scale,
}

impl Frame {
    fn new(title: &str, note: &str, x: Axis, y: Axis, across: (f64, f64), up: (f64, f64)) -> Self {
        let x_scale = Scale { low: across.0, high: across.1, from: LEFT, to: WIDTH - RIGHT };
        let y_scale = Scale { low: up.0, high: up.1, from: HEIGHT - BOTTOM, to: TOP };
        let y_step = step(up.1 - up.0, 4.0).max(if y.unit == Unit::Count { 1.0 } else { 0.0 });
        let chart = Chart {
            title: title.to_owned(),
            note: note.to_owned(),
            summary: format!("{title}, by {}.", x.name),
            width: WIDTH,
            height: HEIGHT,
            left: LEFT,
            right: WIDTH - RIGHT,
            top: TOP,
            bottom: HEIGHT - BOTTOM,
            x_name: x.name,
            y_name: y.name,
            x_ticks: Vec::new(),
            y_ticks: ticks(y_scale, y_step, y.unit),
            keys: Vec::new(),
            lines: Vec::new(),
            bars: Vec::new(),
            diagonal: false,
            rows: Vec::new(),
        };
        Frame { chart, x: x_scale, y: y_scale }
    }

    /// Adds the legend and the figures as a table.
    fn finish(mut self, x: Axis, y: Axis, series: &[Series]) -> Chart {
        self.chart.keys = series.iter().map(|s| Key { name: s.name, style: s.style }).collect();
        if let Some(first) = series.first() {
            self.chart.rows = (0..first.points.len())
                .map(|row| {
                    let cell =
                        |s: &Series| s.points.get(row).and_then(|p| p.1).map_or("–".to_owned(), |v| y.unit.write(v));
                    std::iter::once(x.unit.write(first.points[row].0)).chain(series.iter().map(cell)).collect()
                })
                .collect();
        }
        self.chart
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_no_chart() {
        let axis = Axis { name: "pass", unit: Unit::Count };
        let empty = vec![Series { name: "a", style: 1, points: vec![(0.0, None)] }];
        assert!(lines("t", "", [axis, axis], empty.clone()).is_none());
        assert!(bars("t", "", [axis, axis], 1.0, empty.clone()).is_none());
        assert!(against("t", "", [axis, axis], empty).is_none());
    }

    #[test]
    fn one_pass_and_one_value_are_drawn() {
        let axis = Axis { name: "pass", unit: Unit::Count };
        let one = vec![Series { name: "a", style: 1, points: vec![(0.0, Some(0.0))] }];
        let chart = lines("t", "", [axis, axis], one).unwrap();
        assert!(chart.lines[0].dots.iter().all(|dot| dot.x.is_finite() && dot.y.is_finite()));
        assert_eq!(chart.rows, [["0", "0"]]);
    }
}
