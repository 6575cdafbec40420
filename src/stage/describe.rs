//! Describe: class names and sentences become text features, and those become the two heads.
//!
//! Features are cached by sentence: a class or a sentence more costs that sentence, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use tch::{Device, Kind as Number, Tensor};

use crate::clip::{TextTower, Tokenizer};
use crate::device::guarded;
use crate::error::{Context, Error, Kind, Result};
use crate::fusion::{heads, normalize};
use crate::stage::progress::{Progress, Silent};
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::store::reader;
use crate::store::space::Space;
use crate::table::{self, Dims, arrays, tensor};
use crate::text_file;

/// Bytes of a file of descriptions: some hundred sentences about each of ten thousand classes.
const LONGEST: u64 = 256 << 20;

/// Everything that is said about the classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentences {
    /// Class names, by class id.
    pub classes: Vec<String>,
    /// Each class's sentences.
    pub descriptions: Vec<Vec<String>>,
    /// Prompts, each with `{}` for the name.
    pub templates: Vec<String>,
}

/// A row of `descriptions`.
struct Line {
    class: i32,
    index: i32,
    kind: &'static str,
    sentence: String,
}

impl Sentences {
    /// The filled templates in the place of descriptions: what handcrafted prompts are worth.
    pub fn of_templates(classes: &[String], templates: &[String]) -> Self {
        let filled = |class: &String| templates.iter().map(|template| template.replace("{}", class)).collect();
        let descriptions = classes.iter().map(filled).collect();
        Sentences { classes: classes.to_vec(), descriptions, templates: templates.to_vec() }
    }

    /// Reads the descriptions of `classes` from a JSON file `{class name: [sentence, …]}`. Names are matched without regard
    /// to case, and to `_` against a space.
    ///
    /// # Errors
    /// [`Kind::Input`] naming the file and the class that is missing or has no sentence.
    pub fn read(path: &Path, classes: &[String], templates: &[String]) -> Result<Self> {
        let text = text_file::read(path, Kind::Input, LONGEST)?;
        let parsed: BTreeMap<String, Vec<String>> =
            serde_json::from_str(&text).at(Kind::Input, "not descriptions, {class name: [sentence, ...]}:", path)?;
        let plain = |name: &str| name.to_lowercase().replace('_', " ").trim().to_owned();
        let found: HashMap<String, Vec<String>> = parsed.into_iter().map(|(name, s)| (plain(&name), s)).collect();
        let of_class = |class: &String| {
            let sentences = found.get(&plain(class)).map_or(&[][..], Vec::as_slice);
            let kept: Vec<String> = sentences.iter().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect();
            if kept.is_empty() {
                return Err(Error::new(Kind::Input, format!("{}: no sentence about '{class}'", path.display()))
                    .hint("every class needs at least one sentence that says what it looks like"));
            }
            Ok(kept)
        };
        let descriptions = classes.iter().map(of_class).collect::<Result<_>>()?;
        Ok(Sentences { classes: classes.to_vec(), descriptions, templates: templates.to_vec() })
    }

    /// What the text features depend on besides the text space.
    pub fn identity(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for Line { class, kind, sentence, .. } in self.lines() {
            hasher.update(format!("{class} {kind} {} ", sentence.len()).as_bytes());
            hasher.update(sentence.as_bytes());
        }
        hasher.finalize()
    }

    /// How many different ones there are.
    pub fn count(&self) -> u64 {
        self.distinct().len() as u64
    }

    fn distinct(&self) -> std::collections::BTreeSet<String> {
        self.lines().into_iter().map(|line| line.sentence).collect()
    }

    /// The partition of `text_features` in this space.
    pub fn partition(&self, space: &Space) -> String {
        format!("{}-{}", space.id(), &self.identity().to_hex()[..8])
    }

    /// All templates of all classes, then all sentences of all classes.
    fn lines(&self) -> Vec<Line> {
        let names = (0..).zip(&self.classes).flat_map(|(class, name)| {
            (0..).zip(&self.templates).map(move |(index, template)| {
                let sentence = template.replace("{}", name);
                Line { class, index, kind: "template", sentence }
            })
        });
        let sentences = (0..).zip(&self.descriptions).flat_map(|(class, sentences)| {
            (0..).zip(sentences).map(move |(index, s)| Line { class, index, kind: "description", sentence: s.clone() })
        });
        names.chain(sentences).collect()
    }
}

/// The classifiers made from sentences, each (C, d) of unit rows, fp32 on the CPU.
#[derive(Debug)]
pub struct Heads {
    /// From the class names in templates: zero-shot.
    pub names: Tensor,
    /// The mean of the sentences: CuPL's, and the start of W*.
    pub descriptions: Tensor,
    /// `W_LLM`: sentences weighted by their likeness to the class name.
    pub frozen: Tensor,
}

/// Sentences that are not in the store yet.
///
/// # Errors
/// Where the store cannot be read.
pub fn missing(sentences: &Sentences, space: &Space, store: &Store) -> Result<u64> {
    let known = cached(space, store)?;
    Ok(sentences.distinct().iter().filter(|s| !known.contains_key(*s)).count() as u64)
}

/// Makes the heads; embeds the sentences that no part of this space has. `tower` is built only where one is missing. Returns
/// the heads and the number of sentences that went through the tower.
///
/// # Errors
/// Where the store, the tokenizer or the tower fails.
#[expect(clippy::too_many_arguments, reason = "a stage names each thing it reads and writes")]
pub fn describe(
    sentences: &Sentences,
    space: &Space,
    dataset: &str,
    tokenizer: &Tokenizer,
    tower: impl FnOnce() -> Result<TextTower>,
    store: &Store,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<(Heads, u64)> {
    let lines = sentences.lines();
    write_descriptions(&lines, dataset, store)?;
    let (flat, width, forwards) = embed(sentences, &lines, space, tokenizer, tower, store, stop, progress)?;
    write_features(&lines, &flat, width, sentences, space, store)?;
    progress.end(&format!("{} sentences of {} classes", lines.len(), sentences.classes.len()));
    Ok((make_heads(sentences, &flat, width), forwards))
}

/// The heads alone: nothing is written to the store, and what it lacks is embedded for this once.
///
/// # Errors
/// Where the store, the tokenizer or the tower fails.
pub fn heads(
    sentences: &Sentences,
    space: &Space,
    tokenizer: &Tokenizer,
    tower: impl FnOnce() -> Result<TextTower>,
    store: &Store,
    stop: &Stop,
) -> Result<Heads> {
    let lines = sentences.lines();
    let (flat, width, _) = embed(sentences, &lines, space, tokenizer, tower, store, stop, &Silent)?;
    Ok(make_heads(sentences, &flat, width))
}

/// The features of all lines one after the other, their width, and how many sentences went through the tower.
#[expect(clippy::too_many_arguments, reason = "a stage names each thing it reads and writes")]
fn embed(
    sentences: &Sentences,
    lines: &[Line],
    space: &Space,
    tokenizer: &Tokenizer,
    tower: impl FnOnce() -> Result<TextTower>,
    store: &Store,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<(Vec<f32>, usize, u64)> {
    let mut features = cached(space, store)?;
    let distinct = sentences.distinct();
    let todo: Vec<&String> = distinct.iter().filter(|s| !features.contains_key(*s)).collect();
    let forwards = todo.len() as u64;
    progress.begin("describe", "sentence", forwards, distinct.len() as u64 - forwards);
    if !todo.is_empty() {
        let tower = tower()?;
        for batch in todo.chunks(128) {
            stop.check()?;
            let sequences = batch.iter().map(|s| tokenizer.sequence(s)).collect::<Result<Vec<_>>>()?;
            let embedded = guarded("embedding sentences", || {
                let _no_grad = tch::no_grad_guard();
                Ok(normalize(&tower.forward(&sequences, Device::Cpu)))
            })?;
            for (row, sentence) in (0..).zip(batch) {
                features.insert(sentence.to_string(), tensor::numbers(&embedded.get(row))?);
            }
            progress.advance(batch.len() as u64);
        }
    }
    let width = features.get(&lines[0].sentence).map_or(0, Vec::len);
    let flat: Vec<f32> = lines.iter().flat_map(|l| features[&l.sentence].iter().copied()).collect();
    Ok((flat, width, forwards))
}

fn make_heads(sentences: &Sentences, flat: &[f32], width: usize) -> Heads {
    let all = Tensor::from_slice(flat).view([-1, width as i64]).to_kind(Number::Float);
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

/// Every sentence that any partition of this space has, with its feature.
fn cached(space: &Space, store: &Store) -> Result<HashMap<String, Vec<f32>>> {
    let prefix = format!("{}-", space.id());
    let mut features = HashMap::new();
    for name in store.partitions("text_features")?.into_iter().filter(|name| name.starts_with(&prefix)) {
        let partition = store.partition("text_features", &name)?;
        for batch in reader::batches(&partition, Some(&["sentence", "feature"]), 1024)? {
            let batch = batch?;
            let (values, width) = arrays::rows_f32(&batch, "feature")?;
            for (sentence, feature) in arrays::strings(&batch, "sentence")?.iter().zip(values.chunks(width)) {
                features.insert((*sentence).to_owned(), feature.to_vec());
            }
        }
    }
    Ok(features)
}

fn write_descriptions(lines: &[Line], dataset: &str, store: &Store) -> Result<()> {
    let schema = table::table("descriptions")?.arrow(&Dims::new())?;
    let batch = RecordBatch::try_new(schema.clone(), line_columns(lines).to_vec())
        .context(Kind::Store, || "cannot make table descriptions".to_owned())?;
    store.partition("descriptions", dataset)?.replace("snapshot", &schema, &[batch], &[]).map(drop)
}

fn write_features(
    lines: &[Line],
    flat: &[f32],
    width: usize,
    sentences: &Sentences,
    space: &Space,
    store: &Store,
) -> Result<()> {
    let partition = store.partition("text_features", &sentences.partition(space))?;
    if !partition.parts()?.is_empty() {
        return Ok(());
    }
    let schema = table::table("text_features")?.arrow(&Dims::new().with("d", width))?;
    let mut columns = vec![arrays::repeated(&space.id(), lines.len())];
    columns.extend(line_columns(lines));
    columns.push(arrays::fixed_list_f32(flat, width)?);
    let batch = RecordBatch::try_new(schema.clone(), columns)
        .context(Kind::Store, || "cannot make table text_features".to_owned())?;
    partition.replace("features", &schema, &[batch], &space.footer()).map(drop)
}

/// The columns `class_id`, `index`, `kind`, `sentence`, which both tables have.
fn line_columns(lines: &[Line]) -> [ArrayRef; 4] {
    [
        Arc::new(Int32Array::from_iter_values(lines.iter().map(|l| l.class))),
        Arc::new(Int32Array::from_iter_values(lines.iter().map(|l| l.index))),
        arrays::text(lines.iter().map(|l| l.kind)),
        arrays::text(lines.iter().map(|l| &l.sentence)),
    ]
}
