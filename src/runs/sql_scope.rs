//! What belongs to a pipeline in a store, and so is visible in a SQL session.

use super::record::{runs_of, runs_of_other_classes, shared_priors};
use super::stored_run::StoredRun;
use crate::config::Spec;
use crate::error::Result;
use crate::stage::describe::Sentences;
use crate::stage::frozen::FrozenTable;
use crate::stage::{ingest, neighbours};
use crate::store::layout::Store;
use crate::table::session::Visible;
use crate::text::list::some_of;
use crate::workspace::{Workspace, ids};

/// What `sql` sees of a pipeline, and what it cannot see.
pub struct SqlScope {
    /// The store, for reading.
    pub store: Store,
    /// The pipeline's dataset, the spaces of its model, and its runs.
    pub visible: Visible,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// Returns what `sql` sees of a pipeline. If the model is gone, only its embeddings are hidden.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn scope(spec: &Spec) -> Result<SqlScope> {
    let mut scope = scope_with_features(spec)?;
    let classes = ingest::class_names(&scope.store, &scope.visible.dataset)?;
    let others = runs_of_other_classes(&scope.store, &scope.visible.runs, &classes)?;
    if !others.is_empty() {
        scope.notes.push(format!(
            "warning: the dataset had other classes when {} made: class ids in their rows are right, class names are not",
            match others.as_slice() {
                [run] => format!("run {run} was"),
                runs => format!("runs {} were", some_of(runs, SHOWN)),
            }
        ));
    }
    Ok(scope)
}

/// Returns the scope of a pipeline's dataset, runs and features, whatever classes the runs were
/// made with.
fn scope_with_features(spec: &Spec) -> Result<SqlScope> {
    let SqlScope { store, mut visible, mut notes } = scope_of_runs(spec)?;
    match Workspace::open(spec) {
        Ok(workspace) => {
            visible.spaces = workspace.frozen.all().iter().map(|of| (of.table(), of.space().id())).collect();
            let neighbours = workspace.neighbours(spec, &store)?;
            if !neighbours::is_filled(&neighbours, &store)? && is_embedded(&workspace, &store)? {
                notes.push("neighbours and duplicates are left empty: microclip-pipe run fills them".to_owned());
            }
            visible.spaces.insert(neighbours::TABLE, neighbours.id());
            let classes = ingest::class_names(&store, &visible.dataset)?;
            if !classes.is_empty() {
                match Sentences::of(&spec.text, &classes) {
                    Ok(sentences) => {
                        visible.spaces.insert("text_features", sentences.partition(&workspace.text_space));
                    }
                    Err(error) if !store.partitions("text_features")?.is_empty() => {
                        notes.push(format!("text_features is left empty: {error}"));
                    }
                    // Nothing is hidden where nothing was embedded.
                    Err(_) => {}
                }
            }
        }
        Err(error) if !store.partitions("embeddings")?.is_empty() => {
            notes.push(format!("embeddings, composites, view_features and text_features are left empty: {error}"));
        }
        Err(_) => {}
    }
    Ok(SqlScope { store, visible, notes })
}

/// Returns whether the store has embeddings of the pipeline's model.
fn is_embedded(workspace: &Workspace, store: &Store) -> Result<bool> {
    Ok(!workspace.frozen.embeddings.partition(store)?.listed()?.is_empty())
}

/// The most runs named at once.
const SHOWN: usize = 3;

/// Returns the scope of a pipeline's dataset and runs. The tables of features are left empty, so
/// that no model is opened.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn scope_of_runs(spec: &Spec) -> Result<SqlScope> {
    let store = Store::open_read(&spec.store)?;
    let dataset = ids::dataset(spec);
    let runs = runs_of(&store, &spec.name, &dataset)?;
    let visible = Visible { priors: shared_priors(&store, &runs)?, runs, dataset, ..Visible::default() };
    Ok(SqlScope { store, visible, notes: Vec::new() })
}

/// Returns the scope of one run alone, by the settings that made it, so that the views take it for
/// the newest.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn scope_of_run(chosen: &StoredRun) -> Result<SqlScope> {
    let mut scope = scope_with_features(&chosen.spec)?;
    scope.visible.dataset.clone_from(&chosen.dataset);
    scope.visible.runs = vec![chosen.run.clone()];
    scope.visible.priors = shared_priors(&scope.store, &scope.visible.runs)?;
    Ok(scope)
}
