//! A run that was made earlier: finding it in the store, and what made it.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Context, Error, Kind, Result};
use crate::pipeline::departures::departures;
use crate::pipeline::record::runs_of;
use crate::pipeline::settings;
use crate::pipeline::some_of::some_of;
use crate::pipeline::spec::Spec;
use crate::stage::pictures::Pictures;
use crate::store::layout::Store;
use crate::store::reader;
use crate::table::arrays;

/// A run of the store.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Its store, for reading.
    pub store: Store,
    /// Its id.
    pub run: String,
    /// The partition of its dataset.
    pub dataset: String,
    /// The settings that made it, with the store as it was opened now.
    pub spec: Spec,
    /// What calibrates its answers.
    pub temperature: Option<f64>,
    /// blake3 of the weights it adapted, hexadecimal; none where an older version made it.
    pub weights: Option<String>,
}

impl Chosen {
    /// The pictures of its dataset.
    ///
    /// # Errors
    /// [`Kind::Store`] where the table `images` cannot be read.
    pub fn pictures(&self) -> Result<Arc<Pictures>> {
        Pictures::open(&self.store.partition("images", &self.dataset)?, settings::limits(&self.spec))
    }

    /// The settings that made it and are not the defaults, by their keys in the pipeline file; no paths.
    ///
    /// # Errors
    /// None that a user could meet.
    pub fn departures(&self) -> Result<Vec<(&'static str, String)>> {
        departures(&self.spec)
    }
}

/// The newest run of a pipeline.
///
/// # Errors
/// [`Kind::Usage`] where it has none.
pub fn newest(spec: &Spec) -> Result<Chosen> {
    let store = Store::open_read(&spec.store)?;
    let Some(run) = runs_of(&store, &spec.name, &settings::dataset_id(spec))?.pop() else {
        let what = format!("the store {} has no run of pipeline '{}'", store.root().display(), spec.name);
        return Err(Error::new(Kind::Usage, what).hint("make one with microclip-pipe run"));
    };
    read(store, &run)
}

/// The run of a store that is called `name`, or whose id alone begins or ends so.
///
/// # Errors
/// [`Kind::Usage`] where there is none, or more than one.
pub fn named(store: &Path, name: &str) -> Result<Chosen> {
    let store = Store::open_read(store)?;
    let runs = store.partitions("runs")?;
    if let Some(run) = runs.iter().find(|run| *run == name) {
        return read(store.clone(), run);
    }
    let alike: Vec<&String> = runs.iter().filter(|run| run.starts_with(name) || run.ends_with(name)).collect();
    let shown = store.root().display();
    match alike.as_slice() {
        [run] => read(store.clone(), run),
        [] if runs.is_empty() => Err(Error::new(Kind::Usage, format!("the store {shown} has no run"))
            .hint("name the pipeline file, or its store with --store DIR")),
        [] => Err(Error::new(Kind::Usage, format!("the store {shown} has no run that begins or ends with '{name}'"))
            .hint(format!("the runs are {}", some_of(&runs, SHOWN)))),
        many => Err(Error::new(Kind::Usage, format!("{} runs begin or end with '{name}'", many.len()))
            .hint(format!("say which: {}", some_of(many, SHOWN)))),
    }
}

/// As many runs as are worth reading at once.
const SHOWN: usize = 12;

fn read(store: Store, run: &str) -> Result<Chosen> {
    let gone = || Error::new(Kind::Store, format!("the row of run '{run}' cannot be read"));
    let batch = reader::batches(&store.partition("runs", run)?, None, 16)?.next().ok_or_else(gone)??;
    let text = |column: &str| Ok::<_, Error>(arrays::strings(&batch, column)?.first().copied().unwrap_or_default());
    let mut spec: Spec = serde_json::from_str(text("settings")?)
        .context(Kind::Store, || format!("the settings of run '{run}' are of another version of this program"))?;
    spec.store = store.root().to_owned();
    let versions: serde_json::Value = serde_json::from_str(text("versions")?).unwrap_or_default();
    // Older versions had no such column.
    let temperature = arrays::floats(&batch, "temperature").ok().and_then(|t| t.first().copied().flatten());
    Ok(Chosen {
        run: run.to_owned(),
        dataset: text("dataset")?.to_owned(),
        temperature,
        weights: versions["weights"].as_str().filter(|hash| !hash.is_empty()).map(str::to_owned),
        spec,
        store,
    })
}
