//! Describe: class names and sentences become text features, and those become the classifiers
//! ([`Heads`]).
//!
//! Features are cached by sentence, so that a new class or sentence costs only the new sentences.

mod embed;
mod file;
mod sentences;
mod tables;

use std::collections::HashMap;

use tch::{Kind as Number, Tensor};

use crate::clip::{TextTower, Tokenizer};
use crate::error::Result;
use crate::fusion::heads;
use crate::stage::job::Job;
use crate::stage::progress::Silent;
use crate::stop::Stop;
use crate::store::layout::{Partition, Store};
use crate::store::space::Space;

pub use embed::partitions;
use embed::{Embedded, embed};
pub use sentences::{Prototypes, Sentences, Text, Written};

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
    let known = embed::stored(space, store, Partition::parts, &Stop::default())?;
    Ok(sentences.distinct().iter().filter(|s| !known.contains_key(*s)).count() as u64)
}

/// Makes the heads; embeds the sentences that no part of this space has, and builds `tower` only if
/// one is missing. Warns about sentences that are longer than the text tower takes. Returns the
/// heads and the number of sentences that went through the tower.
///
/// # Errors
/// Fails if the store, the tokenizer or the tower fails, or a stop was requested; what was embedded
/// before a stop is stored.
#[tracing::instrument(name = "stage", skip_all, fields(stage = "describe"))]
pub fn describe(
    about: About<'_>,
    space: &Space,
    tokenizer: &Tokenizer,
    tower: impl FnOnce() -> Result<TextTower>,
    job: Job<'_>,
) -> Result<(Heads, u64)> {
    let (About { sentences, dataset }, Job { store, stop, progress }) = (about, job);
    let progress = progress.as_ref();
    let lines = sentences.lines();
    tables::write_descriptions(&lines, dataset, store)?;
    let features =
        tables::Features { partition: store.partition("text_features", &sentences.partition(space))?, space };
    let context = tokenizer.context();
    let save = |known: &HashMap<String, Embedded>, new: &[&String]| features.append(&lines, new, known, context);
    let stored = embed::stored(space, store, Partition::parts, stop)?;
    let (known, forwards) = embed(sentences, stored, tokenizer, tower, stop, progress, &save)?;
    features.complete(&lines, &known, context)?;
    let tokens = known.iter().map(|(sentence, embedded)| (sentence.clone(), embedded.tokens)).collect();
    if let Some(cut) = sentences.cut(&tokens, context) {
        progress.say(&format!("warning: {cut}"));
    }
    progress.end(&format!("{} sentences of {} classes", lines.len(), sentences.classes.len()));
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
    tower: impl FnOnce() -> Result<TextTower>,
    store: &Store,
    stop: &Stop,
) -> Result<Heads> {
    // A process that only reads does not set damaged parts aside, so they are skipped.
    let stored = embed::stored(space, store, Partition::sound_parts, stop)?;
    let (known, _) = embed(sentences, stored, tokenizer, tower, stop, &Silent, &|_, _| Ok(()))?;
    Ok(make_heads(sentences, &known))
}

fn make_heads(sentences: &Sentences, known: &HashMap<String, Embedded>) -> Heads {
    let lines = sentences.lines();
    let flat: Vec<f32> = lines.iter().flat_map(|line| known[&line.sentence].feature.iter().copied()).collect();
    let all = Tensor::from_slice(&flat).view([lines.len() as i64, -1]).to_kind(Number::Float);
    let templates = sentences.templates.len() as i64;
    let split = templates * sentences.classes.len() as i64;
    let counts: Vec<i64> = sentences.descriptions.iter().map(|s| s.len() as i64).collect();
    let descriptions = all.narrow(0, split, all.size()[0] - split);
    let names = heads::class_names(&all.narrow(0, 0, split), templates);
    Heads {
        frozen: heads::frozen(&descriptions, &counts, &names),
        descriptions: heads::learnable(&descriptions, &counts),
        names,
    }
}
