//! Runs sentences through the text tower, each once per space.

use std::collections::HashMap;
use std::path::PathBuf;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;
use tch::{Device, Tensor};

use super::Sentences;
use crate::clip::{Sequence, TextConfig, TextTower, Tokenizer};
use crate::cores;
use crate::device::guarded;
use crate::error::Result;
use crate::fusion::normalize;
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::layout::{Partition, Store};
use crate::store::reader;
use crate::store::space::Space;
use crate::table::{arrays, tensor};

/// A sentence's feature and length.
#[derive(Debug, Clone)]
pub(super) struct Embedded {
    /// Feature, of unit length.
    pub(super) feature: Vec<f32>,
    /// Number of tokens, with start and end tokens, before truncation.
    pub(super) tokens: usize,
}

/// Number of new sentences after which features are stored; a kill loses at most these and the
/// batches in progress.
const PART: usize = 512;

/// Maximum sentences per forward pass.
const BATCH: usize = 128;

/// Maximum GFLOP per forward pass: about a second on a slow or busy core, between two checks for a
/// stop.
const BATCH_GFLOP: f64 = 12.0;

/// Stores the given new sentences, which are among the known ones.
pub(super) type Save<'a> = dyn Fn(&HashMap<String, Embedded>, &[&String]) -> Result<()> + 'a;

/// Returns all sentences, and how many of them went through the tower because they are not in
/// `stored`. Calls `save` repeatedly with the new ones.
pub(super) fn embed(
    sentences: &Sentences,
    mut stored: HashMap<String, Stored>,
    tokenizer: &Tokenizer,
    tower: impl FnOnce() -> Result<TextTower>,
    stop: &Stop,
    progress: &dyn Progress,
    save: &Save<'_>,
) -> Result<(HashMap<String, Embedded>, u64)> {
    let distinct = sentences.distinct();
    let new = distinct.iter().filter(|sentence| !stored.contains_key(*sentence)).count() as u64;
    progress.begin("describe", "sentence", new, distinct.len() as u64 - new);
    let (mut known, mut todo) = (HashMap::new(), Vec::new());
    for sentence in &distinct {
        stop.check()?;
        match stored.remove(sentence) {
            Some((feature, Some(tokens))) => drop(known.insert(sentence.clone(), Embedded { feature, tokens })),
            Some((feature, None)) => {
                let tokens = tokenizer.sequence(sentence)?.tokens;
                known.insert(sentence.clone(), Embedded { feature, tokens });
            }
            None => todo.push((sentence, tokenizer.sequence(sentence)?)),
        }
    }
    if todo.is_empty() {
        return Ok((known, new));
    }
    // A batch is padded to its longest sentence; sentences of equal length need no padding.
    todo.sort_by_key(|(_, sequence)| sequence.ids.len());
    let tower = tower()?;
    let (mut rest, mut unsaved) = (&todo[..], Vec::new());
    while !rest.is_empty() {
        if let Err(stopped) = stop.check() {
            save(&known, &unsaved)?;
            return Err(stopped);
        }
        let mut batches = Vec::new();
        while batches.len() < cores::limit() && !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_of(rest, &tower.config));
            batches.push(batch);
            rest = later;
        }
        let ids = |batch: &&[(&String, Sequence)]| batch.iter().map(|(_, sequence)| sequence.ids.clone()).collect();
        let inputs = batches.iter().map(|batch| (tower.map(&Tensor::shallow_clone), ids(batch)));
        let embedded = cores::map(inputs.collect(), |(tower, ids): (TextTower, Vec<Vec<i64>>)| forward(&tower, &ids))?;
        for (batch, features) in batches.into_iter().zip(embedded) {
            for ((sentence, sequence), feature) in batch.iter().zip(features) {
                known.insert((*sentence).clone(), Embedded { feature, tokens: sequence.tokens });
                unsaved.push(*sentence);
            }
            progress.advance(batch.len() as u64);
        }
        if unsaved.len() >= PART && !rest.is_empty() {
            save(&known, &unsaved)?;
            unsaved.clear();
        }
    }
    Ok((known, new))
}

/// Returns how many of the sentences, sorted by length, make a batch.
fn batch_of(sentences: &[(&String, Sequence)], config: &TextConfig) -> usize {
    let cost = |n: usize| n as f64 * config.gflop(sentences[n - 1].1.ids.len());
    (1..=sentences.len().min(BATCH)).take_while(|&n| cost(n) <= BATCH_GFLOP).last().unwrap_or(1)
}

/// Returns features of unit length.
fn forward(tower: &TextTower, sequences: &[Vec<i64>]) -> Result<Vec<Vec<f32>>> {
    let features = guarded("embedding sentences", || {
        let _no_grad = tch::no_grad_guard();
        Ok(normalize(&tower.forward(sequences, Device::Cpu)))
    })?;
    (0..sequences.len() as i64).map(|row| tensor::numbers(&features.get(row))).collect()
}

/// A feature and the token count of its sentence, which parts of earlier versions lack.
pub(super) type Stored = (Vec<f32>, Option<usize>);

/// Returns the partitions of `text_features` in a space, one for each list of sentences.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn partitions(space: &Space, store: &Store) -> Result<Vec<Partition>> {
    let prefix = format!("{}-", space.id());
    let names = store.partitions("text_features")?.into_iter().filter(|name| name.starts_with(&prefix));
    names.map(|name| store.partition("text_features", &name)).collect()
}

/// Returns every sentence in the partitions of this space; `parts` selects the parts to read.
pub(super) fn stored(
    space: &Space,
    store: &Store,
    parts: impl Fn(&Partition) -> Result<Vec<PathBuf>>,
    stop: &Stop,
) -> Result<HashMap<String, Stored>> {
    let mut features = HashMap::new();
    for partition in partitions(space, store)? {
        for batch in reader::batches_of(parts(&partition)?, None, 1024) {
            stop.check()?;
            let batch = batch?;
            let (values, width) = arrays::rows_f32(&batch, "feature")?;
            let counts = batch.column_by_name("tokens").and_then(|column| column.as_primitive_opt::<Int32Type>());
            let count = |row: usize| {
                let counts = counts.filter(|counts| counts.is_valid(row))?;
                usize::try_from(counts.value(row)).ok()
            };
            let rows = arrays::strings(&batch, "sentence")?.into_iter().zip(values.chunks(width)).enumerate();
            features.extend(rows.map(|(row, (text, feature))| (text.to_owned(), (feature.to_vec(), count(row)))));
        }
    }
    Ok(features)
}
