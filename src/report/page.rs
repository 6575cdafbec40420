//! Turns figures into HTML. The engine escapes every value; only what this program encoded itself
//! is inserted as it is.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};

use super::Report;
use crate::error::{Context, Kind, Result};
use crate::text::numbers;

const TEMPLATES: [(&str, &str); 6] = [
    ("report.html", include_str!("page/report.html")),
    ("chart.html", include_str!("page/chart.html")),
    ("classes.html", include_str!("page/classes.html")),
    ("map.html", include_str!("page/map.html")),
    ("pictures.html", include_str!("page/pictures.html")),
    ("overview.html", include_str!("page/overview.html")),
];

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// Fills the template.
pub(super) fn render(report: &Report) -> Result<String> {
    let cannot = || "cannot make the page of the report".to_owned();
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().context(Kind::Internal, cannot)?,
    );
    environment.add_filter("percent", percent);
    environment.add_filter("points", points);
    environment.add_filter("count", count);
    environment.add_filter("decimals", decimals);
    environment.add_filter("duration", duration);
    environment.add_global("style", Value::from_safe_string(STYLE.to_owned()));
    environment.add_global("script", Value::from_safe_string(SCRIPT.to_owned()));
    for (name, text) in TEMPLATES {
        environment.add_template(name, text).context(Kind::Internal, cannot)?;
    }
    let page = environment.get_template("report.html").context(Kind::Internal, cannot)?;
    page.render(Value::from(Serde(report))).context(Kind::Internal, cannot)
}

/// Shown in place of a missing value.
const NONE: &str = "–";

fn number(value: &Value) -> Option<f64> {
    f64::try_from(value.clone()).ok()
}

/// Writes a share as per cent.
fn percent(value: Value) -> String {
    number(&value).map_or(NONE.to_owned(), |v| format!("{:.1} %", 100.0 * v))
}

/// Writes a difference of shares in percentage points, with its sign.
fn points(value: Value) -> String {
    number(&value).map_or(NONE.to_owned(), |v| {
        let text = format!("{:.1}", 100.0 * v.abs());
        match text.as_str() {
            "0.0" => "±0.0".to_owned(),
            _ if v < 0.0 => format!("−{text}"),
            _ => format!("+{text}"),
        }
    })
}

/// Writes a whole number with thousands separators.
fn count(value: Value) -> String {
    let Some(whole) = number(&value) else { return NONE.to_owned() };
    let digits = numbers::count(whole.abs().round() as u64);
    if whole < 0.0 { format!("−{digits}") } else { digits }
}

fn decimals(value: Value, places: usize) -> String {
    number(&value).map_or(NONE.to_owned(), |v| format!("{v:.places$}"))
}

/// Writes seconds as people say them.
fn duration(value: Value) -> String {
    match number(&value) {
        None => NONE.to_owned(),
        Some(s) if s < 90.0 => format!("{s:.0} s"),
        Some(s) if s < 5400.0 => format!("{:.0} min", s / 60.0),
        Some(s) => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!(percent(Value::from(0.7345)), "73.5 %");
        assert_eq!(percent(Value::from(())), "–");
        assert_eq!(points(Value::from(-0.041)), "−4.1");
        assert_eq!(points(Value::from(0.2)), "+20.0");
        assert_eq!(points(Value::from(-0.0001)), "±0.0");
        assert_eq!(count(Value::from(1_234_567)), "1,234,567");
        assert_eq!(count(Value::from(12)), "12");
        assert_eq!(duration(Value::from(300.0)), "5 min");
    }
}
