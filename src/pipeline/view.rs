//! What of a store belongs to a pipeline, and is visible in a SQL session.

use super::chosen::Chosen;
use super::record::{runs_of, runs_of_other_classes};
use super::run::sentences;
use super::settings;
use super::some_of::some_of;
use super::spec::Spec;
use super::workspace::Workspace;
use crate::error::Result;
use crate::stage::ingest;
use crate::store::layout::Store;
use crate::table::session::Visible;

/// What `sql` sees of a pipeline, and what it cannot see.
pub struct View {
    /// The store, for reading.
    pub store: Store,
    /// The pipeline's dataset, the spaces of its model, and its runs.
    pub visible: Visible,
    /// Lines worth reading.
    pub notes: Vec<String>,
}

/// What `sql` sees of a pipeline. A model that is no longer there hides its own embeddings, and nothing else.
///
/// # Errors
/// Where the store cannot be read.
pub fn view(spec: &Spec) -> Result<View> {
    let mut view = view_with_features(spec)?;
    let classes = ingest::class_names(&view.store, &view.visible.dataset)?;
    let others = runs_of_other_classes(&view.store, &view.visible.runs, &classes)?;
    if !others.is_empty() {
        view.notes.push(format!(
            "warning: the dataset had other classes when {} made: class ids in their rows are right, class names are not",
            match others.as_slice() {
                [run] => format!("run {run} was"),
                runs => format!("runs {} were", some_of(runs, SHOWN)),
            }
        ));
    }
    Ok(view)
}

/// What there is of a pipeline's dataset, runs and features, whatever classes the runs were made with.
fn view_with_features(spec: &Spec) -> Result<View> {
    let View { store, mut visible, mut notes } = view_of_runs(spec)?;
    match Workspace::open(spec) {
        Ok(workspace) => {
            visible.spaces = workspace.frozen_tables(spec).iter().map(|of| (of.table(), of.space().id())).collect();
            let classes = ingest::class_names(&store, &visible.dataset)?;
            if !classes.is_empty() {
                match sentences(spec, &classes) {
                    Ok(sentences) => {
                        visible.spaces.insert("text_features", sentences.partition(&workspace.text_space));
                    }
                    Err(error) => notes.push(format!("text_features is left empty: {error}")),
                }
            }
        }
        Err(error) if !store.partitions("embeddings")?.is_empty() => {
            notes.push(format!("embeddings, view_features and text_features are left empty: {error}"));
        }
        Err(_) => {}
    }
    Ok(View { store, visible, notes })
}

/// As many runs as are worth reading at once.
const SHOWN: usize = 3;

/// What there is of a pipeline's dataset and runs: the tables of features are left empty, so that no model is opened.
///
/// # Errors
/// Where the store cannot be read.
pub fn view_of_runs(spec: &Spec) -> Result<View> {
    let store = Store::open_read(&spec.store)?;
    let dataset = settings::dataset_id(spec);
    let visible = Visible { runs: runs_of(&store, &spec.name, &dataset)?, dataset, ..Visible::default() };
    Ok(View { store, visible, notes: Vec::new() })
}

/// What there is of one run alone, by the settings that made it: it is the newest that the views know of.
///
/// # Errors
/// Where the store cannot be read.
pub fn view_of_run(chosen: &Chosen) -> Result<View> {
    let mut view = view_with_features(&chosen.spec)?;
    view.visible.dataset.clone_from(&chosen.dataset);
    view.visible.runs = vec![chosen.run.clone()];
    Ok(view)
}
