//! Describe: class names and sentences become text features, and those become the classifiers
//! ([`Heads`]).
//!
//! Features are cached by sentence, so that a new class or sentence costs only the new sentences.

mod embed;
pub mod file;
mod known;
mod layout;
mod sentences;
mod settings;
mod tables;
mod tower;

use std::sync::Arc;

use tch::Tensor;

use crate::clip::Tokenizer;
use crate::error::Result;
use crate::fusion::heads;
use crate::stage::job::Job;
use crate::stage::progress::{Progress, Silent};
use crate::stop::Stop;
use crate::store::layout::{Partition, Store};
use crate::store::space::Space;
use crate::text::numbers::counted;

use embed::embed;
pub use embed::partitions;
use known::Known;
pub use layout::Layout;
pub use sentences::{Sentences, Written};
pub use settings::{Prototypes, Text};
pub use tower::SentenceTower;

/// The classifiers made from sentences, each (C, d) with unit rows, fp32 on the CPU.
#[derive(Debug)]
pub struct Heads {
    /// Classifier from the class names in templates: zero-shot.
    pub names: Tensor,
    /// Mean of each class's sentences: CuPL's, and the start of W*.
    pub descriptions: Tensor,
    /// `W_LLM`: sentences weighted by their similarity to the class name.
    pub frozen: Tensor,
}

/// What is said about the classes of a dataset.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The sentences.
    pub sentences: &'a Sentences,
    /// Partition of the dataset's tables.
    pub dataset: &'a str,
}

/// Returns the number of sentences that are not in the store yet.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn missing(sentences: &Sentences, space: &Space, store: &Store) -> Result<u64> {
    let distinct = sentences.distinct();
    let known = embed::stored(&distinct, space, store, Partition::parts, &Stop::default())?;
    Ok((distinct.len() - known.len()) as u64)
}

/// Makes the heads; embeds the sentences that no part of this space has, and builds `tower` only if
/// one is missing. Warns about sentences that are longer than the text tower takes. Returns the
/// heads and the number of sentences that went through the tower.
///
/// # Errors
/// Fails if the store, the tokenizer or the tower fails, or a stop was requested; what was embedded
/// before a stop is stored, and before a failure or a kill all but the last part.
#[tracing::instrument(name = "stage", skip_all, fields(stage = "describe"))]
pub fn describe(
    about: About<'_>,
    space: &Space,
    tokenizer: &Tokenizer,
    tower: impl FnOnce() -> Result<SentenceTower>,
    job: Job<'_>,
) -> Result<(Heads, u64)> {
    let (About { sentences, dataset }, Job { store, stop, progress }) = (about, job);
    let lines = sentences.lines();
    tables::write_descriptions(&lines, dataset, store)?;
    let features =
        tables::Features { partition: store.partition("text_features", &sentences.partition(space))?, space };
    let context = tokenizer.context();
    let save = |known: &Known, new: &[&String]| features.append(&lines, new, known, context);
    let stored = embed::stored(&sentences.distinct(), space, store, Partition::parts, stop)?;
    let (known, forwards) = embed(sentences, stored, tokenizer, tower, stop, progress, &save)?;
    features.complete(&lines, &known, context)?;
    if let Some(cut) = sentences.cut(&known.tokens(), context) {
        progress.say(&format!("warning: {cut}"));
    }
    let (lines, classes) = (lines.len() as u64, sentences.classes.len() as u64);
    progress.end(&format!("{} of {}", counted(lines, "sentence"), counted(classes, "class")));
    Ok((make_heads(sentences, &known), forwards))
}

/// Makes the heads without writing to the store; sentences that it lacks or has damaged are
/// embedded in memory.
///
/// # Errors
/// Fails if the store, the tokenizer or the tower fails, or a stop was requested.
pub fn heads(
    sentences: &Sentences,
    space: &Space,
    tokenizer: &Tokenizer,
    tower: impl FnOnce() -> Result<SentenceTower>,
    store: &Store,
    stop: &Stop,
) -> Result<Heads> {
    // A process that only reads does not set damaged parts aside, so they are skipped.
    let stored = embed::stored(&sentences.distinct(), space, store, Partition::sound_parts, stop)?;
    let silent: Arc<dyn Progress> = Arc::new(Silent);
    let (known, _) = embed(sentences, stored, tokenizer, tower, stop, &silent, &|_, _| Ok(()))?;
    Ok(make_heads(sentences, &known))
}

/// Makes the heads class by class, so that only one class's features are copied.
fn make_heads(sentences: &Sentences, known: &Known) -> Heads {
    let lines = sentences.lines();
    let (templates, mut rest) = lines.split_at(sentences.templates.len() * sentences.classes.len());
    let per_class = sentences.templates.len();
    let mut rows = [const { Vec::new() }; 3];
    for (class, descriptions) in sentences.descriptions.iter().enumerate() {
        let (own, later) = rest.split_at(descriptions.len());
        rest = later;
        let name = heads::class_names(&known.rows(&templates[class * per_class..][..per_class]), per_class as i64);
        let (descriptions, counts) = (known.rows(own), [own.len() as i64]);
        let made = [heads::learnable(&descriptions, &counts), heads::frozen(&descriptions, &counts, &name), name];
        rows.iter_mut().zip(made).for_each(|(rows, made)| rows.push(made));
    }
    let [descriptions, frozen, names] = rows.map(|rows| Tensor::cat(&rows, 0));
    Heads { names, descriptions, frozen }
}
