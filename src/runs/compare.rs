//! Comparing runs: the settings that differ, and the metrics of each.

use serde_json::Value;

use super::lookup::{self, Measured};
use crate::config::keys::KEYS;
use crate::error::{Context, Kind, Result};
use crate::runs::stored_run::StoredRun;

/// A line of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// `setting` or `metric`.
    pub kind: &'static str,
    /// The setting's key in the pipeline file, or model, split and metric.
    pub name: String,
    /// The value of each run, in their order; `None` if a run has none.
    pub values: Vec<Option<String>>,
}

/// Returns the settings that are not the same in all runs, in the order of the pipeline file, then
/// every metric that any of them has.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn compare(runs: &[StoredRun]) -> Result<Vec<Compared>> {
    let (mut settings, mut scores) = (Vec::new(), Vec::new());
    for StoredRun { store, run, spec, .. } in runs {
        settings.push(serde_json::to_value(spec).context(Kind::Store, || "cannot read the settings".to_owned())?);
        scores.push(lookup::measured(store, run)?.map(|finished| finished.scores).unwrap_or_default());
    }
    Ok(different(&settings).chain(metrics(&scores)).collect())
}

/// Returns a line for each setting that differs. `store` is ignored, since it only says where runs
/// are kept.
fn different(settings: &[Value]) -> impl Iterator<Item = Compared> {
    KEYS.iter().filter(|key| key.name != "store").filter_map(|key| {
        let values: Vec<Option<String>> = settings.iter().map(|run| at(run, &key.name).and_then(shown)).collect();
        let differ = values.windows(2).any(|pair| pair[0] != pair[1]);
        differ.then(|| Compared { kind: "setting", name: key.name.clone(), values })
    })
}

/// Finds the value of a dotted name in nested tables.
fn at<'a>(settings: &'a Value, name: &str) -> Option<&'a Value> {
    name.split('.').try_fold(settings, |at, part| at.get(part))
}

/// Writes a value as `--set` takes it.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Returns a line for each metric, in the order in which runs measure them.
fn metrics(scores: &[Vec<Measured>]) -> Vec<Compared> {
    let name = |score: &Measured| format!("{} {} {}", score.model, score.split, score.metric);
    let mut names: Vec<String> = Vec::new();
    for score in scores.iter().flatten().map(name) {
        if !names.contains(&score) {
            names.push(score);
        }
    }
    let value = |run: &Vec<Measured>, wanted: &str| {
        run.iter().find(|score| name(score) == wanted).map(|score| format!("{:.4}", score.value))
    };
    let line = |name: String| {
        let values = scores.iter().map(|run| value(run, &name)).collect();
        Compared { kind: "metric", name, values }
    };
    names.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_settings_that_differ_are_lines() {
        let run = |seed: u64, policy: Value| json!({"name": "a", "store": seed.to_string(), "seed": seed, "dka": {"policy": policy, "gamma": 0.5}});
        let lines: Vec<Compared> = different(&[run(0, Value::Null), run(1, json!("revive"))]).collect();
        let line = |name: &str, values: [Option<&str>; 2]| Compared {
            kind: "setting",
            name: name.to_owned(),
            values: values.iter().map(|value| value.map(str::to_owned)).collect(),
        };
        assert_eq!(lines, [line("seed", [Some("0"), Some("1")]), line("dka.policy", [None, Some("revive")])]);
    }

    #[test]
    fn a_metric_that_a_run_lacks_is_left_open() {
        let score = |model: &str, value| Measured {
            model: model.to_owned(),
            split: "test".to_owned(),
            metric: "top1".to_owned(),
            value,
            images: Some(8),
        };
        let lines = metrics(&[vec![score("zero_shot", 0.5)], vec![score("zero_shot", 0.5), score("adapted", 0.75)]]);
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (lines[1].name.as_str(), &lines[1].values),
            ("adapted test top1", &vec![None, Some("0.7500".to_owned())])
        );
    }
}
