//! The table `llm_answers`: every answer of a language model, as it came.
//!
//! Each is a part of its own until the call ends, so that a kill loses the answer in hand and no
//! other. All of a model are then brought together in one part.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    TimestampMillisecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};

use super::question::Question;
use super::settings::Describe;
use crate::error::{Error, Kind, Result};
use crate::language_model::{Answer, Problem};
use crate::store::layout::{Partition, Store};
use crate::store::reader;
use crate::table::{self, Dims, arrays};

/// The table's name.
const TABLE: &str = "llm_answers";
/// The part that has all answers of earlier calls.
const WHOLE: &str = "answers";

/// A row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// [`Question::id`].
    pub id: String,
    /// When it was answered, in ms since 1970 UTC.
    pub asked: i64,
    /// [`Question::class`].
    pub class: String,
    /// [`Question::other`].
    pub other: Option<String>,
    /// [`Question::text`].
    pub question: String,
    /// [`Question::wanted`].
    pub wanted: usize,
    /// The model that was asked, and how it calls itself.
    pub model: String,
    /// How the model calls itself.
    pub answered_by: Option<String>,
    /// Sampling temperature, if one was asked for.
    pub temperature: Option<f64>,
    /// Seed of sampling.
    pub seed: u64,
    /// How the form of the answer was asked for.
    pub format: String,
    /// The model's words.
    pub answer: Option<String>,
    /// Why they are of no use.
    pub problem: Option<String>,
    /// Whether it is not worth asking again.
    pub settled: bool,
    /// Tokens that were read and written, if the server counts them.
    pub tokens: Option<(u64, u64)>,
    /// Number of requests.
    pub requests: u32,
    /// How long it took, in s.
    pub seconds: f64,
}

impl Row {
    /// Makes the row of an answer that came now.
    pub fn new(question: &Question, answer: &Answer, model: &str, settings: &Describe) -> Row {
        Row {
            id: question.id.clone(),
            asked: jiff::Timestamp::now().as_millisecond(),
            class: question.class.clone(),
            other: question.other.clone(),
            question: question.text.clone(),
            wanted: question.wanted,
            model: model.to_owned(),
            answered_by: answer.model.clone(),
            temperature: settings.temperature,
            seed: settings.seed,
            format: answer.format.name().to_owned(),
            answer: answer.text.clone(),
            problem: answer.problem.as_ref().map(|problem| problem.words().to_owned()),
            settled: matches!(answer.problem, None | Some(Problem::Declined(_))),
            tokens: (!answer.usage.estimated).then_some((answer.usage.read, answer.usage.written)),
            requests: answer.requests,
            seconds: answer.took.as_secs_f64(),
        }
    }
}

/// The answers of one model in a store.
#[derive(Debug)]
pub struct Answers {
    partition: Partition,
    /// The newest of each question.
    newest: HashMap<String, Row>,
    parts: usize,
}

/// Returns the name of the partition of a model's answers: its own, as far as files may be called
/// so, and a digest.
pub fn partition_of(model: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let name: String = model.chars().map(fits).take(60).collect();
    format!("{}-{}", name.trim_matches(['-', '.']), &blake3::hash(model.as_bytes()).to_hex()[..8])
        .trim_matches('-')
        .to_owned()
}

impl Answers {
    /// Reads the answers of a model.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if they cannot be read.
    pub fn open(store: &Store, model: &str) -> Result<Answers> {
        let partition = store.partition(TABLE, &partition_of(model))?;
        let parts = partition.parts()?;
        let mut answers = Answers { partition, newest: HashMap::new(), parts: parts.len() };
        for row in read(parts)? {
            answers.remember(row);
        }
        Ok(answers)
    }

    fn remember(&mut self, row: Row) {
        if self.newest.get(&row.id).is_none_or(|known| known.asked <= row.asked) {
            self.newest.insert(row.id.clone(), row);
        }
    }

    /// Returns the newest answer to a question, if it was ever asked.
    pub fn of(&self, question: &Question) -> Option<&Row> {
        self.newest.get(&question.id)
    }

    /// Returns whether a question need not be asked.
    pub fn has(&self, question: &Question) -> bool {
        self.of(question).is_some_and(|row| row.settled)
    }

    /// Returns the pairs of classes that were told apart, each once.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs: Vec<_> =
            self.newest.values().filter_map(|row| Some((row.class.clone(), row.other.clone()?))).collect();
        pairs.sort();
        pairs.dedup();
        pairs
    }

    /// Returns the mean number of tokens that a sentence of this model's took; `None` if no server
    /// has counted any.
    pub fn tokens_a_sentence(&self) -> Option<f64> {
        let counted = || {
            self.newest.values().filter_map(|row| Some((row.tokens?.1, row.problem.is_none().then_some(row.wanted)?)))
        };
        let sentences: usize = counted().map(|(_, wanted)| wanted).sum();
        let tokens: u64 = counted().map(|(tokens, _)| tokens).sum();
        (sentences > 0).then(|| tokens as f64 / sentences as f64)
    }

    /// Stores answers, in a part of their own.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the part cannot be written.
    pub fn add(&mut self, rows: Vec<Row>) -> Result<()> {
        let batch = batch(&rows)?;
        let mut writer = self.partition.append(&batch.schema(), &[])?;
        writer.write(&batch)?;
        writer.finish()?;
        self.parts += 1;
        rows.into_iter().for_each(|row| self.remember(row));
        Ok(())
    }

    /// Brings all parts together in one.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if they cannot be read, or the part not be written.
    pub fn bring_together(&mut self) -> Result<()> {
        if self.parts < 2 {
            return Ok(());
        }
        // A kill in the middle of this may have left a row in two parts.
        let rows = read(self.partition.parts()?)?.into_iter().map(|row| ((row.asked, row.id.clone()), row));
        let rows: Vec<Row> = rows.collect::<BTreeMap<_, _>>().into_values().collect();
        let batch = batch(&rows)?;
        self.partition.replace(WHOLE, &batch.schema(), &[batch], &[])?;
        self.parts = 1;
        Ok(())
    }
}

fn batch(rows: &[Row]) -> Result<RecordBatch> {
    let text = |of: fn(&Row) -> &str| arrays::text(rows.iter().map(of));
    let optional = |of: fn(&Row) -> Option<&str>| arrays::optional_text(rows.iter().map(of));
    let tokens = |of: fn((u64, u64)) -> u64| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row.tokens.map(|tokens| of(tokens).cast_signed())).collect::<Int64Array>())
    };
    let moments = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.asked)).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 18] = [
        ("id", text(|row| &row.id)),
        ("asked", Arc::new(moments)),
        ("class", text(|row| &row.class)),
        ("other", optional(|row| row.other.as_deref())),
        ("question", text(|row| &row.question)),
        ("wanted", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.wanted as i32)))),
        ("model", text(|row| &row.model)),
        ("answered_by", optional(|row| row.answered_by.as_deref())),
        ("temperature", Arc::new(rows.iter().map(|row| row.temperature).collect::<Float64Array>())),
        ("seed", arrays::int64(rows.iter().map(|row| row.seed.cast_signed()).collect())),
        ("format", text(|row| &row.format)),
        ("answer", optional(|row| row.answer.as_deref())),
        ("problem", optional(|row| row.problem.as_deref())),
        ("settled", Arc::new(rows.iter().map(|row| Some(row.settled)).collect::<BooleanArray>())),
        ("tokens_in", tokens(|(read, _)| read)),
        ("tokens_out", tokens(|(_, written)| written)),
        ("requests", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.requests.cast_signed())))),
        ("seconds", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.seconds)))),
    ];
    table::rows(TABLE, &table::table(TABLE)?.arrow(&Dims::new())?, columns)
}

fn read(parts: Vec<std::path::PathBuf>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in reader::batches_of(parts, None, 1024) {
        let batch = batch?;
        let odd = |column: &str| Error::new(Kind::Store, format!("`{column}` of {TABLE} has another type"));
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| odd(name));
        let asked =
            column("asked")?.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(|| odd("asked"))?.clone();
        let settled = column("settled")?.as_boolean_opt().ok_or_else(|| odd("settled"))?.clone();
        let count = |name: &str| {
            Ok::<_, Error>(column(name)?.as_primitive_opt::<Int64Type>().ok_or_else(|| odd(name))?.clone())
        };
        let (read, written) = (count("tokens_in")?, count("tokens_out")?);
        let texts = |name: &str| arrays::strings(&batch, name);
        let maybe = |name: &str| arrays::optional_strings(&batch, name);
        let [ids, classes, questions, models, formats] =
            [texts("id")?, texts("class")?, texts("question")?, texts("model")?, texts("format")?];
        let [others, names, answers, problems] =
            [maybe("other")?, maybe("answered_by")?, maybe("answer")?, maybe("problem")?];
        let (temperatures, seconds) = (arrays::floats(&batch, "temperature")?, arrays::floats(&batch, "seconds")?);
        let (seeds, wanted) = (arrays::int64s(&batch, "seed")?, arrays::int32s(&batch, "wanted")?);
        let requests = arrays::int32s(&batch, "requests")?;
        let owned = |text: Option<&str>| text.map(str::to_owned);
        rows.extend((0..batch.num_rows()).map(|row| {
            Row {
                id: ids[row].to_owned(),
                asked: asked.value(row),
                class: classes[row].to_owned(),
                other: owned(others[row]),
                question: questions[row].to_owned(),
                wanted: usize::try_from(wanted[row]).unwrap_or(0),
                model: models[row].to_owned(),
                answered_by: owned(names[row]),
                temperature: temperatures[row],
                seed: seeds[row].cast_unsigned(),
                format: formats[row].to_owned(),
                answer: owned(answers[row]),
                problem: owned(problems[row]),
                settled: settled.value(row),
                tokens: (read.is_valid(row) && written.is_valid(row))
                    .then(|| (read.value(row).cast_unsigned(), written.value(row).cast_unsigned())),
                requests: requests[row].cast_unsigned(),
                seconds: seconds[row].unwrap_or_default(),
            }
        }));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, asked: i64, settled: bool) -> Row {
        Row {
            id: id.to_owned(),
            asked,
            class: "rose".to_owned(),
            other: (asked > 1).then(|| "aster".to_owned()),
            question: "What?".to_owned(),
            wanted: 3,
            model: "m".to_owned(),
            answered_by: None,
            temperature: (asked > 1).then_some(0.5),
            seed: u64::MAX >> 1,
            format: "lines".to_owned(),
            answer: settled.then(|| "It is red.\nIt has \"thorns\".".to_owned()),
            problem: (!settled).then(|| "500".to_owned()),
            settled,
            tokens: settled.then_some((7, 30)),
            requests: 2,
            seconds: 1.5,
        }
    }

    fn question(id: &str) -> Question {
        Question { id: id.to_owned(), class: "rose".to_owned(), other: None, text: "What?".to_owned(), wanted: 3 }
    }

    #[test]
    fn answers_come_back_as_they_were_and_the_newest_counts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut answers = Answers::open(&store, "m").unwrap();
        answers.add(vec![row("a", 1, false)]).unwrap();
        answers.add(vec![row("b", 2, true)]).unwrap();
        assert!(!answers.has(&question("a")) && answers.has(&question("b")) && answers.of(&question("c")).is_none());
        answers.add(vec![row("a", 3, true)]).unwrap();
        answers.bring_together().unwrap();
        let again = Answers::open(&store, "m").unwrap();
        assert_eq!((again.parts, again.of(&question("a"))), (1, Some(&row("a", 3, true))));
        assert_eq!(again.pairs(), [("rose".to_owned(), "aster".to_owned())]);
        assert_eq!(again.tokens_a_sentence(), Some(10.0));
        assert_eq!(read(again.partition.parts().unwrap()).unwrap().len(), 3, "earlier answers are kept");
        assert!(Answers::open(&store, "other").unwrap().newest.is_empty());
    }

    #[test]
    fn partitions_are_named_after_models() {
        let store = Store::open_read("/nowhere").unwrap();
        for (model, begins) in [
            ("gpt-4.1-mini", "gpt-4.1-mini-"),
            ("Qwen/Qwen3-8B", "qwen-qwen3-8b-"),
            ("llama3:8b", "llama3-8b-"),
            ("ü", ""),
        ] {
            let name = partition_of(model);
            assert!(name.starts_with(begins) && store.partition(TABLE, &name).is_ok(), "{name}");
        }
    }
}
