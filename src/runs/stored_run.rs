//! An earlier run: finding it in the store, and what it was made from.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::Array;
use serde_json::json;

use crate::config::Spec;
use crate::config::non_defaults;
use crate::error::{Context, Error, Kind, Result};
use crate::image::ImageId;
use crate::runs::reached::Reached;
use crate::runs::record::{MadeFrom, differs, digest_of_classes, is_of, runs_of};
use crate::stage::ingest;
use crate::stage::pictures::Pictures;
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::store::reader;
use crate::table::arrays;
use crate::text::list::some_of;
use crate::workspace::ids;
use crate::workspace::on_hub::{self, Need};

/// A run of the store.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// The store, for reading.
    pub store: Store,
    /// The run's id.
    pub run: String,
    /// The partition of its dataset.
    pub dataset: String,
    /// The settings that made it, with `store` as it was opened now, and no number of a GPU but
    /// that of the pipeline file by which the run was found.
    pub spec: Spec,
    /// Temperature that calibrates its answers.
    pub temperature: Option<f64>,
    /// What it was made from.
    pub made_from: MadeFrom,
    /// How far it has come.
    pub reached: Reached,
    /// Whether it was asked for by its id, and so is taken as far as it has come.
    pub asked: bool,
    /// Notes for the user: that it is not finished, or that a newer one was left out because it is
    /// not.
    pub notes: Vec<String>,
}

impl StoredRun {
    /// Opens the pictures of its dataset.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the table `images` cannot be read.
    pub fn pictures(&self) -> Result<Arc<Pictures>> {
        Pictures::open(&self.store.partition("images", &self.dataset)?, self.spec.dataset.decoding())
    }

    /// Opens some pictures of its dataset.
    ///
    /// # Errors
    /// Fails like [`pictures`](Self::pictures).
    pub fn pictures_of(&self, wanted: &HashSet<ImageId>) -> Result<Arc<Pictures>> {
        let images = self.store.partition("images", &self.dataset)?;
        Pictures::open_some(&images, self.spec.dataset.decoding(), |id| wanted.contains(id))
    }

    /// Fetches the models that the run was made with, at their commits, where they are named on the
    /// hub and not in the cache.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] or [`Kind::System`] if they cannot be fetched;
    /// [`Kind::Interrupted`] if a stop was requested.
    pub fn with_models_fetched(self, stop: &Stop, progress: &dyn Progress) -> Result<Self> {
        let spec = on_hub::fetched(&self.spec, Need::Models, stop, progress)?;
        Ok(StoredRun { spec, ..self })
    }

    /// Refuses a run whose dataset had other classes when it was made: its answers would get wrong
    /// names.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if it had; [`Kind::Store`] if the store cannot be read.
    pub fn require_its_classes(&self) -> Result<()> {
        let classes = ingest::class_names(&self.store, &self.dataset)?;
        if !differs(self.made_from.classes.as_ref(), Some(&digest_of_classes(&classes))) {
            return Ok(());
        }
        let dataset = self.spec.dataset.path.display();
        let what =
            format!("the classes of the dataset at {dataset} are not those that run '{}' was made with", self.run);
        Err(Error::new(Kind::Input, what).hint("put those back, or run the pipeline again"))
    }

    /// Returns the settings that made it and are not the defaults, by their keys in the pipeline
    /// file, without paths.
    ///
    /// # Errors
    /// Returns [`Kind::Internal`] if a value cannot be written.
    pub fn non_defaults(&self) -> Result<Vec<(String, String)>> {
        non_defaults(&self.spec)
    }
}

/// Returns the newest finished run of a pipeline. `asking` says how to ask for an unfinished run,
/// given its id.
///
/// # Errors
/// Returns [`Kind::Usage`] if it has none; [`Kind::Store`] if the row of one cannot be read.
pub fn newest(spec: &Spec, asking: impl Fn(&str) -> String) -> Result<StoredRun> {
    let store = Store::open_read(&spec.store)?;
    let mut unfinished = None;
    for run in runs_of(&store, &spec.name, &ids::dataset(spec))?.iter().rev() {
        let mut chosen = read(&store, run)?;
        // The run says what hardware its answers are of, the file which of the GPUs to use now.
        if chosen.spec.device.kind.hardware() == spec.device.kind.hardware() {
            chosen.spec.device.kind = spec.device.kind;
        }
        if chosen.reached.is_finished() {
            let newer = unfinished.map(|StoredRun { run: newer, reached, .. }| {
                format!(
                    "run '{newer}' is newer, but not finished ({reached}): it is left out; ask for it with {}",
                    asking(&newer)
                )
            });
            return Ok(StoredRun { notes: newer.into_iter().collect(), ..chosen });
        }
        unfinished.get_or_insert(chosen);
    }
    let (place, name) = (store.place(), &spec.name);
    let shown = place.display();
    Err(match unfinished {
        None => Error::new(Kind::Usage, format!("the store {shown} has no run of pipeline '{name}'"))
            .hint("make one with microclip-pipe run"),
        Some(StoredRun { run, reached, .. }) => {
            let what = format!("the store {shown} has no finished run of pipeline '{name}': '{run}' stopped {reached}");
            let finish = "microclip-pipe run finishes it";
            Error::new(Kind::Usage, what).hint(match reached.passes {
                0 => finish.to_owned(),
                _ => format!("{finish}; to take it as far as it is, ask for it with {}", asking(&run)),
            })
        }
    })
}

/// Returns the run of a store that is called `name`, or the only one whose id begins or ends with
/// it, however far it has come.
///
/// # Errors
/// Returns [`Kind::Usage`] if there is none, or more than one; [`Kind::Store`] if its row cannot be
/// read.
pub fn named(store: &Path, name: &str) -> Result<StoredRun> {
    let store = Store::open_read(store)?;
    let runs = store.partitions("runs")?;
    if let Some(run) = runs.iter().find(|run| *run == name) {
        return asked(&store, run);
    }
    let alike: Vec<&String> = runs.iter().filter(|run| run.starts_with(name) || run.ends_with(name)).collect();
    let place = store.place();
    let shown = place.display();
    match alike.as_slice() {
        [run] => asked(&store, run),
        [] if runs.is_empty() => Err(Error::new(Kind::Usage, format!("the store {shown} has no run"))
            .hint("name the pipeline file, or its store with --store DIR")),
        [] => Err(Error::new(Kind::Usage, format!("the store {shown} has no run that begins or ends with '{name}'"))
            .hint(format!("the runs are {}", some_of(&runs, SHOWN)))),
        many => Err(Error::new(Kind::Usage, format!("{} runs begin or end with '{name}'", many.len()))
            .hint(format!("say which: {}", some_of(many, SHOWN)))),
    }
}

/// The most runs named at once.
const SHOWN: usize = 12;

/// Reads a run that is asked for by its id.
fn asked(store: &Store, run: &str) -> Result<StoredRun> {
    let chosen = read(store, run)?;
    let reached = chosen.reached;
    let warning = match (reached.is_finished(), reached.has_all_passes()) {
        (true, true) => None,
        (true, false) => Some(format!("warning: run '{run}' ended, but its newest checkpoint is {reached}")),
        (false, _) => Some(format!("warning: run '{run}' is not finished: this is what it came to {reached}")),
    };
    Ok(StoredRun { asked: true, notes: warning.into_iter().collect(), ..chosen })
}

fn read(store: &Store, run: &str) -> Result<StoredRun> {
    let gone = || Error::new(Kind::Store, format!("the row of run '{run}' cannot be read"));
    let row = store.partition("runs", run)?;
    row.require_sound()?;
    let batch = reader::batches(&row, None, 16)?.next().ok_or_else(gone)??;
    if !is_of(&batch, run)? {
        let what = format!("the row of run '{run}' is another run's");
        return Err(Error::new(Kind::Store, what).hint("run the pipeline again: it is written anew"));
    }
    let text = |column: &str| Ok::<_, Error>(arrays::strings(&batch, column)?.first().copied().unwrap_or_default());
    let mut spec = settings(text("settings")?)
        .context(Kind::Store, || format!("the settings of run '{run}' are of another version of this program"))?;
    spec.store = store.place();
    // Any GPU gives the answers of the one that made the run, which another machine may not have.
    spec.device.kind = spec.device.kind.unnumbered();
    // Older versions had no such column.
    let temperature = arrays::floats(&batch, "temperature").ok().and_then(|t| t.first().copied().flatten());
    let ended = batch.column_by_name("finished").is_some_and(|finished| finished.is_valid(0));
    Ok(StoredRun {
        reached: Reached::of(store, run, &spec, ended)?,
        asked: false,
        notes: Vec::new(),
        run: run.to_owned(),
        dataset: text("dataset")?.to_owned(),
        temperature,
        made_from: serde_json::from_str(text("versions")?).unwrap_or_default(),
        spec,
        store: store.clone(),
    })
}

/// Reads the settings that a run was made with. Those of earlier versions lack keys that were added
/// since, whose defaults are not what such a run did.
fn settings(text: &str) -> serde_json::Result<Spec> {
    let mut settings: serde_json::Value = serde_json::from_str(text)?;
    let before = [
        ("dka", "balance", json!(0.0)),
        ("adapt", "recipe", json!("paper")),
        ("transduction", "method", json!("stata")),
    ];
    for (table, key, as_before) in before {
        if let Some(table) = settings.get_mut(table).and_then(serde_json::Value::as_object_mut) {
            table.entry(key).or_insert(as_before);
        }
    }
    serde_json::from_value(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dka::Balance;
    use crate::fusion::transduction::Method;

    #[test]
    fn a_run_of_an_earlier_version_keeps_what_it_did() {
        let text = |dka: &str| {
            format!(
                r#"{{"name": "a", "dataset": {{"kind": "folder", "path": "/a"}}, "model": {{"path": "/m"}}, "dka": {dka}}}"#
            )
        };
        assert_eq!(settings(&text(r#"{"gamma": 0.5}"#)).unwrap().dka.balance, Balance::Pull(0.0));
        assert_eq!(settings(&text(r#"{"balance": "auto"}"#)).unwrap().dka.balance, Balance::Auto);
        let old = text("{}").replace("\"dka\"", "\"transduction\": {\"prior\": true}, \"dka\"");
        assert_eq!(settings(&old).unwrap().transduction.method, Method::Stata);
        assert!(settings("{}").is_err());
    }
}
