//! What a pipeline uses of a store, and why it does not use the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use arrow::array::RecordBatch;

use super::record::{runs_of, shared_priors};
use crate::config::Spec;
use crate::error::Result;
use crate::stage::frozen::{FrozenTable, FrozenTables};
use crate::stage::neighbours;
use crate::store::inventory::Holding;
use crate::store::layout::{CHECKPOINTS, Store};
use crate::store::lock::QUARANTINE;
use crate::store::reader;
use crate::store::space::Space;
use crate::table::arrays;
use crate::table::schema::{self, Scope, TableSchema};
use crate::text::list::some_of;
use crate::workspace::{Opened, Workspace, on_hub};

/// What a pipeline refers to in a store.
pub struct References {
    dataset: String,
    /// Whether the pictures are as they were when they were ingested.
    unchanged: bool,
    spaces: BTreeMap<&'static str, Space>,
    /// Whether the next run reads the crops that are kept, or keeps more.
    crops: bool,
    /// The run that the pipeline file makes as it stands.
    run: Option<String>,
    /// What the prior of that run depends on.
    prior: Option<Space>,
    /// All runs of this pipeline on this dataset.
    runs: BTreeSet<String>,
    /// The partitions of `prior_logits` that these runs read.
    priors: BTreeSet<String>,
    settings: serde_json::Value,
}

/// Whether a pipeline uses something of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reuse {
    /// The next run reads it.
    Yes,
    /// It belongs to the pipeline, but the next run does not read it, for this reason.
    Belongs(String),
    /// It belongs to something else, which differs in this.
    No(String),
}

impl References {
    /// Works out what a pipeline refers to.
    ///
    /// # Errors
    /// Fails if its pictures, its model or the store cannot be read, since they decide what it
    /// refers to.
    pub fn of(spec: &Spec, store: &Store) -> Result<Self> {
        let spec = &on_hub::as_cached(spec);
        let opened = Opened::new(spec)?;
        let unchanged = opened.known(store)?.is_some();
        let (run, prior) = match unchanged {
            true => (Some(opened.run_id(spec, opened.recipe(spec)?.as_ref())?), Some(opened.prior(spec)?)),
            false => (None, None),
        };
        let workspace = opened.workspace;
        let FrozenTables { composites, view_features, .. } = &workspace.frozen;
        let crops = view_features.keeps() || composites.needs_crops(store)?;
        let frozen = workspace.frozen.all();
        let frozen = frozen.iter().map(|of| (of.table(), of.space().clone()));
        let others =
            [("text_features", workspace.text_space.clone()), (neighbours::TABLE, workspace.neighbours(spec, store)?)];
        let spaces = frozen.chain(others).collect();
        let dataset = workspace.dataset;
        let runs = runs_of(store, &spec.name, &dataset)?;
        let mut shared = shared_priors(store, &runs)?;
        Ok(References {
            priors: runs.iter().map(|run| shared.remove(run).unwrap_or_else(|| run.clone())).collect(),
            runs: runs.into_iter().collect(),
            settings: serde_json::to_value(spec).unwrap_or_default(),
            unchanged,
            dataset,
            spaces,
            crops,
            run,
            prior,
        })
    }

    /// Returns whether the pipeline uses a holding, and if not, why.
    pub fn reuse(&self, holding: &Holding) -> Reuse {
        match holding.table.as_str() {
            QUARANTINE => Reuse::No("set aside: damaged or outdated".to_owned()),
            CHECKPOINTS => self.of_run(holding),
            table => match schema::table(table).map(TableSchema::scope) {
                Ok(Scope::Dataset) => self.of_dataset(holding),
                Ok(Scope::Space | Scope::Pictures) => self.of_space(holding),
                Ok(Scope::Run) => self.of_run(holding),
                Ok(Scope::Prior) => self.of_prior(holding),
                Ok(Scope::All) => Reuse::Belongs(match table {
                    "llm_answers" => "answers of a language model, for `describe`".to_owned(),
                    _ => "a table of ablations".to_owned(),
                }),
                Err(_) => Reuse::No("no table of this version".to_owned()),
            },
        }
    }

    fn of_dataset(&self, holding: &Holding) -> Reuse {
        match (holding.name == self.dataset, self.unchanged) {
            (true, true) => Reuse::Yes,
            (true, false) => Reuse::Belongs("the pictures have changed since".to_owned()),
            (false, _) => Reuse::No("another dataset".to_owned()),
        }
    }

    fn of_space(&self, holding: &Holding) -> Reuse {
        let Some(space) = self.spaces.get(holding.table.as_str()) else {
            return Reuse::No(match holding.table.as_str() {
                "second_features" => "the pipeline has no second model".to_owned(),
                _ => "the pipeline starts from no later block".to_owned(),
            });
        };
        let id = space.id();
        if holding.table == "view_features" && holding.name == id && !self.crops {
            return Reuse::No("`composites` has what runs read of it; `views.keep` keeps it".to_owned());
        }
        // Text features have a partition for each list of sentences; each sentence is looked up in
        // all of them.
        if holding.name == id || (holding.table == "text_features" && holding.name.starts_with(&format!("{id}-"))) {
            return Reuse::Yes;
        }
        let theirs = holding.footer.as_ref().and_then(|footer| Space::from_footer(&footer.pairs));
        Reuse::No(theirs.map_or("another space".to_owned(), |theirs| different_parts(space, &theirs)))
    }

    fn of_prior(&self, holding: &Holding) -> Reuse {
        if self.prior.as_ref().is_some_and(|prior| prior.id() == holding.name) {
            return Reuse::Yes;
        }
        let theirs = holding.footer.as_ref().and_then(|footer| Space::from_footer(&footer.pairs));
        let differs = match (&self.prior, theirs) {
            (Some(ours), Some(theirs)) => different_parts(ours, &theirs),
            _ => "another prior".to_owned(),
        };
        match self.priors.contains(&holding.name) {
            true => Reuse::Belongs(format!("the prior of earlier runs: {differs}")),
            false => Reuse::No(format!("the prior of no run of this pipeline: {differs}")),
        }
    }

    fn of_run(&self, holding: &Holding) -> Reuse {
        if self.run.as_ref() == Some(&holding.name) {
            return Reuse::Yes;
        }
        if !self.runs.contains(&holding.name) {
            return Reuse::No("a run of another pipeline or dataset".to_owned());
        }
        let theirs = (holding.table == "runs").then(|| settings_of(&holding.files)).flatten();
        Reuse::Belongs(theirs.map_or("an earlier run".to_owned(), |theirs| {
            match different_keys(&self.settings, &theirs).as_slice() {
                [] => "an earlier run: pictures, sentences or model differ".to_owned(),
                keys => format!("an earlier run: {} differ", some_of(keys, SHOWN)),
            }
        }))
    }
}

/// Returns the runs of a store, of whatever pipeline, that read each shared prior.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn readers_of_priors(store: &Store) -> Result<BTreeMap<String, Vec<String>>> {
    let mut readers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (run, prior) in shared_priors(store, &store.partitions("runs")?)? {
        readers.entry(prior).or_default().push(run);
    }
    Ok(readers)
}

/// Returns the runs of a store, of whatever pipeline, that read a shared prior.
///
/// # Errors
/// Fails if the store cannot be read.
pub(crate) fn readers_of_prior(store: &Store, prior: &str) -> Result<Vec<String>> {
    Ok(readers_of_priors(store)?.remove(prior).unwrap_or_default())
}

/// Returns a warning if the store has what earlier runs of this pipeline computed with other
/// weights at the same path. Weights have no checksum of their own, so this is how a damaged file
/// shows. Either way, nothing computed with the one is used for the other.
///
/// # Errors
/// Fails if the store cannot be read.
pub(crate) fn changed_weights(spec: &Spec, workspace: &Workspace, store: &Store) -> Result<Option<String>> {
    let ours = workspace.frozen.embeddings.space();
    let id = ours.id();
    // Other spaces are only looked at, so they are not compared with their checksums.
    let store = &Store::open_read(store.place())?;
    let names = store.partitions("embeddings")?;
    if names.contains(&id) {
        return Ok(None);
    }
    let footers = names.iter().filter_map(|name| {
        let part = store.partition("embeddings", name).ok()?.parts().ok()?.pop()?;
        Space::from_footer(&reader::footer(&part).ok()?.pairs)
    });
    let others: Vec<Space> = footers.filter(|space| different_parts(ours, space) == "other weights").collect();
    let path = serde_json::json!(spec.model.path);
    for run in runs_of(store, &spec.name, &workspace.dataset)?.iter().rev() {
        let files = store.partition("runs", run)?.parts()?;
        if !others.is_empty() && settings_of(&files).is_some_and(|theirs| theirs["model"]["path"] == path) {
            return Ok(Some(format!(
                "warning: the weights in {} are not those that earlier runs found there, so everything is computed anew; \
                 if nobody changed them, the file is damaged",
                spec.model.path.display()
            )));
        }
    }
    Ok(None)
}

/// Names the parts in which two spaces differ.
fn different_parts(ours: &Space, theirs: &Space) -> String {
    // Another version has entirely different parts, and naming them would say less.
    const VERSION: &str = "schema_version";
    if ours.parts.get(VERSION) != theirs.parts.get(VERSION) {
        return format!("other {VERSION}");
    }
    let keys: BTreeSet<&String> = ours.parts.keys().chain(theirs.parts.keys()).collect();
    let other: Vec<String> =
        keys.into_iter().filter(|key| ours.parts.get(*key) != theirs.parts.get(*key)).cloned().collect();
    format!("other {}", some_of(&other, SHOWN))
}

/// The most keys named on one line.
const SHOWN: usize = 3;

/// Reads the settings in a row of `runs`.
fn settings_of(files: &[PathBuf]) -> Option<serde_json::Value> {
    let batches = reader::batches_of(files.to_vec(), Some(&["settings"]), 16);
    let batch: RecordBatch = batches.last()?.ok()?;
    serde_json::from_str(arrays::strings(&batch, "settings").ok()?.first()?).ok()
}

/// Returns the keys whose values differ, spelled as in a pipeline file. `store` is ignored.
fn different_keys(ours: &serde_json::Value, theirs: &serde_json::Value) -> Vec<String> {
    let (ours, theirs) = (flat(ours), flat(theirs));
    let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).filter(|key| *key != "store").collect();
    keys.into_iter().filter(|key| ours.get(*key) != theirs.get(*key)).cloned().collect()
}

fn flat(value: &serde_json::Value) -> BTreeMap<String, &serde_json::Value> {
    let mut found = BTreeMap::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(_) => found.extend(flat(value).into_iter().map(|(inner, value)| (format!("{key}.{inner}"), value))),
            None => drop(found.insert(key.clone(), value)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_are_named_as_in_the_file() {
        let ours = serde_json::json!({"seed": 0, "store": "a", "adapt": {"epochs": 3, "lr": 0.1}});
        let theirs = serde_json::json!({"seed": 1, "store": "b", "adapt": {"epochs": 5, "lr": 0.1}});
        assert_eq!(different_keys(&ours, &theirs), ["adapt.epochs", "seed"]);
    }

    #[test]
    fn parts_of_a_space_that_differ_are_named() {
        let ours = Space::new("img").with("weights", "a").with("precision", "fp32");
        let theirs = Space::new("img").with("weights", "b").with("precision", "fp32").with("view", "centre");
        assert_eq!(different_parts(&ours, &theirs), "other view, weights");
    }
}
