//! Runs sentences through the text tower, each once per space.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;

use super::Sentences;
use super::known::Known;
use super::tower::SentenceTower;
use crate::clip::{Sequence, Tokenizer};
use crate::cores;
use crate::error::Result;
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::layout::{Partition, Store};
use crate::store::reader;
use crate::store::space::Space;
use crate::table::arrays;

/// Number of new sentences after which features are stored: what a kill loses at most.
pub(super) const PART: usize = 2048;

/// Stores the given new sentences, which are among the known ones.
pub(super) type Save<'a> = dyn Fn(&Known, &[&String]) -> Result<()> + 'a;

/// A sentence and its tokens.
type Tokenized<'a> = (&'a String, Sequence);

/// Returns all sentences, and how many of them went through the tower because they are not in
/// `stored`. Calls `save` after each part of new ones.
pub(super) fn embed(
    sentences: &Sentences,
    mut stored: HashMap<String, Stored>,
    tokenizer: &Tokenizer,
    tower: impl FnOnce() -> Result<SentenceTower>,
    stop: &Stop,
    progress: &Arc<dyn Progress>,
    save: &Save<'_>,
) -> Result<(Known, u64)> {
    let distinct = sentences.distinct();
    let new = distinct.iter().filter(|sentence| !stored.contains_key(*sentence)).count() as u64;
    progress.begin("describe", "sentence", new, distinct.len() as u64 - new);
    let (mut known, mut todo) = (Known::with_capacity(distinct.len()), Vec::new());
    for sentence in &distinct {
        stop.check()?;
        match stored.remove(sentence) {
            Some((feature, Some(tokens))) => known.insert(sentence, &feature, tokens),
            Some((feature, None)) => known.insert(sentence, &feature, tokenizer.sequence(sentence)?.tokens),
            None => todo.push((sentence, tokenizer.sequence(sentence)?)),
        }
    }
    if todo.is_empty() {
        return Ok((known, new));
    }
    // A batch is padded to its longest sentence; sentences of equal length need no padding.
    todo.sort_by_key(|(_, sequence)| sequence.ids.len());
    let tower = Arc::new(tower()?);
    let mut rest = &todo[..];
    while !rest.is_empty() {
        let (batches, later) = part_of(rest, &tower);
        let part = &rest[..rest.len() - later.len()];
        let features = forward(&tower, batches, stop, progress)?;
        let (made, _) = part.split_at(features.iter().map(Vec::len).sum());
        for ((sentence, sequence), feature) in made.iter().zip(features.iter().flatten()) {
            known.insert(sentence, feature, sequence.tokens);
        }
        let made: Vec<&String> = made.iter().map(|(sentence, _)| *sentence).collect();
        if !(later.is_empty() && made.len() == todo.len()) {
            save(&known, &made)?;
        }
        if made.len() < part.len() {
            stop.check()?;
        }
        rest = later;
    }
    Ok((known, new))
}

/// Returns the batches of the next part, and the sentences after it. Batches depend on the
/// sentences alone, so that a run that goes on after a part computes the same ones.
fn part_of<'a, 'b>(
    sentences: &'b [Tokenized<'a>],
    tower: &SentenceTower,
) -> (Vec<&'b [Tokenized<'a>]>, &'b [Tokenized<'a>]) {
    let (mut batches, mut rest, mut count) = (Vec::new(), sentences, 0);
    while !rest.is_empty() && count < PART {
        let lengths = rest.iter().map(|(_, sequence)| sequence.ids.len());
        let (batch, later) = rest.split_at(tower.batch_of(lengths));
        batches.push(batch);
        count += batch.len();
        rest = later;
    }
    (batches, rest)
}

/// Returns the features of each batch, on all cores. If a stop is requested, no more batches begin,
/// and those that are missing are the last.
fn forward(
    tower: &Arc<SentenceTower>,
    batches: Vec<&[Tokenized<'_>]>,
    stop: &Stop,
    progress: &Arc<dyn Progress>,
) -> Result<Vec<Vec<Vec<f32>>>> {
    let ids = |batch: &[Tokenized<'_>]| batch.iter().map(|(_, sequence)| sequence.ids.clone()).collect();
    let batches: Vec<Vec<Vec<i64>>> = batches.into_iter().map(ids).collect();
    let (workers, tower, stop, progress) = (tower.workers(), tower.clone(), stop.clone(), progress.clone());
    let embedded = cores::map_by(workers, batches, move |batch| {
        if stop.check().is_err() {
            return Ok(None);
        }
        let features = tower.features(&batch)?;
        progress.advance(batch.len() as u64);
        Ok(Some(features))
    })?;
    Ok(embedded.into_iter().map_while(|features| features).collect())
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

/// Returns those of the `wanted` sentences that are in the partitions of this space; `parts`
/// selects the parts to read.
pub(super) fn stored(
    wanted: &BTreeSet<String>,
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
            let rows = rows.filter(|(_, (text, _))| wanted.contains(*text));
            features.extend(rows.map(|(row, (text, feature))| (text.to_owned(), (feature.to_vec(), count(row)))));
        }
    }
    Ok(features)
}
