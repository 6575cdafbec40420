//! What the classes are called, where their labels do not say it well.

use std::collections::HashSet;

use crate::error::{Context, Kind, Result};
use crate::text::names::{plain, without_numbers};

/// Returns names for labels that are names with numbers before them or underscores in them; `None`
/// if the labels do as they are, or if names of two would be the same: a run says what it makes of
/// labels that are alike.
pub(super) fn better_names(labels: &[String]) -> Option<Vec<String>> {
    let spaced = || labels.iter().map(|label| label.replace('_', " ").trim().to_owned()).collect::<Vec<_>>();
    let are_apart = |names: &Vec<String>| {
        let apart: HashSet<String> = names.iter().map(|name| plain(name)).collect();
        apart.len() == names.len()
    };
    let has_underscores = || labels.iter().any(|label| label.contains('_'));
    without_numbers(labels).or_else(|| has_underscores().then(spaced).filter(are_apart))
}

/// Writes a table of labels and names, as CSV.
pub(super) fn map_of(labels: &[String], names: &[String]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let lines =
        [("label", "name")].into_iter().chain(labels.iter().map(String::as_str).zip(names.iter().map(String::as_str)));
    let written: Result<(), csv::Error> =
        lines.into_iter().try_for_each(|(label, name)| writer.write_record([label, name]));
    written.context(Kind::Usage, || "cannot write the class names".to_owned())?;
    let bytes = writer.into_inner().unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes an empty list for each class, as JSON.
pub(super) fn no_sentences(classes: &[String]) -> Result<String> {
    let empty: serde_json::Map<String, serde_json::Value> =
        classes.iter().map(|class| (class.clone(), serde_json::json!([]))).collect();
    let text =
        serde_json::to_string_pretty(&empty).context(Kind::Usage, || "cannot write the class names".to_owned())?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_whose_names_would_be_the_same_stay_as_they_are() {
        let of = |labels: &[&str]| better_names(&labels.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["red_rose", "lily"]), Some(vec!["red rose".to_owned(), "lily".to_owned()]));
        assert_eq!(of(&["red_rose", "red rose", "lily"]), None);
        assert_eq!(of(&["rose", "lily"]), None);
    }
}
