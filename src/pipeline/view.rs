//! What of a store belongs to a pipeline: the scope of a SQL session.

use super::chosen::Chosen;
use super::record::runs_of;
use super::run::sentences;
use super::settings;
use super::spec::Spec;
use super::workspace::Workspace;
use crate::error::Result;
use crate::stage::ingest;
use crate::store::layout::Store;
use crate::table::session::Scope;

/// What `sql` sees of a pipeline, and what it cannot see.
pub struct View {
    /// The store, for reading.
    pub store: Store,
    /// The pipeline's dataset, the spaces of its model, and its runs.
    pub scope: Scope,
    /// Lines worth reading.
    pub notes: Vec<String>,
}

/// What `sql` sees of a pipeline. A model that is no longer there hides its own embeddings, and nothing else.
///
/// # Errors
/// Where the store cannot be read.
pub fn view(spec: &Spec) -> Result<View> {
    let View { store, mut scope, mut notes } = view_of_runs(spec)?;
    match Workspace::open(spec) {
        Ok(workspace) => {
            scope.image_space = Some(workspace.image_space.id());
            scope.view_space = Some(workspace.view_space.id());
            scope.block_space = workspace.block_space.as_ref().map(|(space, _)| space.id());
            let classes = ingest::class_names(&store, &scope.dataset)?;
            if !classes.is_empty() {
                let sentences = sentences(spec, &classes)?;
                scope.text_partition = Some(sentences.partition(&workspace.text_space));
            }
        }
        Err(error) if !store.partitions("embeddings")?.is_empty() => {
            notes.push(format!("embeddings, view_features and text_features are left empty: {error}"));
        }
        Err(_) => {}
    }
    Ok(View { store, scope, notes })
}

/// What there is of a pipeline's dataset and runs: the tables of features are left empty, so that no model is opened.
///
/// # Errors
/// Where the store cannot be read.
pub fn view_of_runs(spec: &Spec) -> Result<View> {
    let store = Store::open_read(&spec.store)?;
    let dataset = settings::dataset_id(spec);
    let scope = Scope { runs: runs_of(&store, &spec.name, &dataset)?, dataset, ..Scope::default() };
    Ok(View { store, scope, notes: Vec::new() })
}

/// What there is of one run alone, by the settings that made it: it is the newest that the views know of.
///
/// # Errors
/// Where the store cannot be read.
pub fn view_of_run(chosen: &Chosen) -> Result<View> {
    let mut view = view(&chosen.spec)?;
    view.scope.dataset.clone_from(&chosen.dataset);
    view.scope.runs = vec![chosen.run.clone()];
    Ok(view)
}
