//! Everything that the id of a run depends on, opened once.

use crate::config::Spec;
use crate::error::Result;
use crate::source::{self, Source};
use crate::stage::adapt::Recipe;
use crate::stage::describe::{Prototypes, Sentences};
use crate::stage::ingest::{self, IngestSettings, Ingested};
use crate::store::layout::Store;
use crate::store::space::Space;

use super::{Workspace, ids, recipe};

/// A pipeline with its model, its pictures as they are now, and the sentences about its classes.
pub(crate) struct Opened {
    /// The model.
    pub(crate) workspace: Workspace,
    /// The pictures; none is read yet.
    pub(crate) source: Box<dyn Source>,
    /// How the pictures are ingested.
    pub(crate) ingest: IngestSettings,
    /// Identity of the pictures as they are now.
    pub(crate) snapshot: String,
    /// Names of the classes, by class id.
    pub(crate) classes: Vec<String>,
    /// The sentences about the classes.
    pub(crate) sentences: Sentences,
    /// Says that templates stand for sentences, if that was left to the file of sentences.
    unwritten: Option<String>,
}

impl Opened {
    /// Opens a pipeline. Builds no tower and reads no picture.
    ///
    /// # Errors
    /// Fails if the pictures, the model or the sentences cannot be read, or do not fit together.
    pub(crate) fn new(spec: &Spec) -> Result<Self> {
        let (source, ingest) = pictures(spec)?;
        // The model comes last, because its weights are hashed.
        let classes = ingest::classes(source.as_ref(), &ingest)?;
        let sentences = Sentences::of(&spec.text, &classes)?;
        let unwritten = (spec.text.prototypes == Prototypes::Auto && sentences.written.is_none()).then(|| {
            "text.descriptions has no sentence yet, so classes are described by the templates alone: `microclip-pipe describe` \
             fills it"
                .to_owned()
        });
        let snapshot = ingest::snapshot(source.as_ref(), &ingest)?;
        let workspace = Workspace::open(spec)?;
        Ok(Opened { workspace, source, ingest, snapshot, classes, sentences, unwritten })
    }

    /// Returns what the user should know of the model and the sentences.
    ///
    /// # Errors
    /// Fails if the tokenizer cannot encode a sentence.
    pub(crate) fn notes(&self) -> Result<Vec<String>> {
        let mut notes = self.workspace.clip.notes.clone();
        notes.extend(self.unwritten.clone());
        notes.extend(self.sentences.left_aside());
        notes.extend(self.sentences.misread());
        let marks = self.sentences.with_marks(&self.workspace.clip.tokenizer)?;
        notes.extend(marks.map(|marks| format!("warning: {marks}")));
        Ok(notes)
    }

    /// Returns what the store knows of the pictures as they are now, or `None` if they are not
    /// ingested.
    ///
    /// # Errors
    /// Fails if the store cannot be read.
    pub(crate) fn known(&self, store: &Store) -> Result<Option<Ingested>> {
        ingest::known(&self.snapshot, &self.ingest, store)
    }

    /// Returns the recipe of adaptation, or `None` if nothing is trained.
    ///
    /// # Errors
    /// Fails like [`recipe`].
    pub(crate) fn recipe(&self, spec: &Spec) -> Result<Option<Recipe>> {
        recipe(spec, &self.workspace, &self.classes)
    }

    /// Returns the id of the run that these settings make of the pictures as they are now.
    ///
    /// # Errors
    /// Fails like [`ids::run`].
    pub(crate) fn run_id(&self, spec: &Spec, recipe: Option<&Recipe>) -> Result<String> {
        ids::run(spec, &self.workspace, &self.snapshot, &self.sentences, recipe)
    }

    /// Returns what the prior of the pictures as they are now depends on.
    ///
    /// # Errors
    /// Fails like [`ids::prior`].
    pub(crate) fn prior(&self, spec: &Spec) -> Result<Space> {
        ids::prior(spec, &self.workspace, &self.snapshot, &self.sentences, &self.classes)
    }
}

/// Opens the pictures of a pipeline, and returns them with how they are ingested.
///
/// # Errors
/// Fails if the pictures or a file of class names cannot be read.
pub(crate) fn pictures(spec: &Spec) -> Result<(Box<dyn Source>, IngestSettings)> {
    let source = source::open(&spec.dataset)?;
    let (classes, class_map) = (spec.dataset.class_list()?, spec.dataset.class_map()?);
    let settings = IngestSettings {
        dataset: ids::dataset(spec),
        decoding: spec.dataset.decoding(),
        classes,
        class_map,
        part_rows: spec.embed.part_rows,
        copy: spec.dataset.copy,
    };
    Ok((source, settings))
}
