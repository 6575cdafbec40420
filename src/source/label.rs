//! What counts as a label, in every kind of source.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::text::names::composed;

/// What messages say that a label is.
pub(super) const ONE_CLASS: &str = "each picture has one class, a name or a whole number";

/// A label as a source stores it. Numbers sort as numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    Number(i64),
    Name(String),
}

/// The number that stands for a label that is hidden or not known: `datasets` writes it.
const HIDDEN: i64 = -1;

/// Words for a missing value, which pandas and thus `datasets` read as such in CSV.
const MISSING: [&str; 11] = ["NaN", "nan", "-nan", "null", "NULL", "None", "N/A", "n/a", "NA", "<NA>", "#N/A"];

impl Label {
    /// Returns a label that is text; `None` if it is empty.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Label::Name(composed(text).into_owned()))
    }

    /// Returns a label that was stored as a number of any kind; `None` if it is not whole. Tables
    /// hold whole numbers as fractions where some of them are missing.
    pub(super) fn of_fraction(number: f64) -> Option<Self> {
        // Beyond, not every whole number has a fraction.
        const LARGEST: f64 = (1u64 << 53) as f64;
        (number.fract() == 0.0 && number.abs() <= LARGEST).then_some(Label::Number(number as i64))
    }

    /// Returns whether the label says that there is none.
    pub(super) fn is_hidden(&self) -> bool {
        match self {
            Label::Number(number) => *number == HIDDEN,
            Label::Name(name) => name.parse() == Ok(HIDDEN) || MISSING.contains(&name.as_str()),
        }
    }

    pub(super) fn into_name(self) -> String {
        match self {
            Label::Number(number) => number.to_string(),
            Label::Name(name) => name,
        }
    }
}

/// Returns the label that a value of JSON is, or what the value is if it cannot be one.
pub(super) fn of_json(value: Option<Value>) -> Result<Option<Label>, &'static str> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Label::of_text(&text)),
        Some(Value::Bool(truth)) => Ok(Some(Label::Number(truth.into()))),
        Some(Value::Number(number)) => match (number.as_i64(), number.as_f64().and_then(Label::of_fraction)) {
            (Some(whole), _) => Ok(Some(Label::Number(whole))),
            (None, Some(whole)) => Ok(Some(whole)),
            (None, None) => Err("no whole number"),
        },
        Some(Value::Array(_)) => Err("a list"),
        Some(Value::Object(_)) => Err("an object"),
    }
}

/// Whether texts may be classes, by all of them: they are short, and not all of them are different
/// or the same.
#[derive(Debug, Default)]
pub(super) struct LikeClasses {
    distinct: BTreeSet<Label>,
    count: usize,
}

impl LikeClasses {
    /// Characters of a class name; captions have more.
    pub(super) const LONGEST: usize = 100;
    /// Classes that any data set has at most.
    const MOST: usize = 100_000;
    /// Pictures of a data set that may show as many classes.
    const FEW: usize = 20;

    /// Takes another text, and returns whether they may still be classes.
    pub(super) fn take(&mut self, label: Label) -> bool {
        let is_short = matches!(&label, Label::Name(name) if name.chars().nth(Self::LONGEST).is_none());
        let fits = self.distinct.len() <= Self::MOST && is_short;
        self.count += 1;
        self.distinct.insert(label);
        fits
    }

    /// Returns whether the texts may be classes, if each that was taken was one.
    pub(super) fn are(&self) -> bool {
        self.distinct.len() > 1 && (self.count <= Self::FEW || self.distinct.len() <= self.count / 2)
    }
}

/// Says that some pictures have a label that means none.
pub(super) fn hidden_note(count: u64) -> Option<String> {
    let (pictures, count_as) = if count == 1 { ("picture has", "counts as") } else { ("pictures have", "count as") };
    (count > 0).then(|| {
        format!("{count} {pictures} a label that stands for none ({HIDDEN}, NaN, null, ...) and {count_as} unlabelled")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_labels_in_any_type() {
        assert_eq!(Label::of_fraction(3.0), Some(Label::Number(3)));
        assert_eq!(Label::of_fraction(-1.0).map(|label| label.is_hidden()), Some(true));
        assert_eq!([0.5, f64::NAN, f64::INFINITY, 1e300].map(Label::of_fraction), [None, None, None, None]);
        assert!(Label::of_text("-1").is_some_and(|label| label.is_hidden()));
        assert!(["NaN", "None", "N/A"].iter().all(|none| Label::of_text(none).is_some_and(|label| label.is_hidden())));
        assert!(Label::of_text("none").is_some_and(|label| !label.is_hidden()));
        assert_eq!(Label::of_text("  "), None);
        assert_eq!(Label::of_text("Gänse\n").map(Label::into_name), Some("Gänse".to_owned()));
    }
}
