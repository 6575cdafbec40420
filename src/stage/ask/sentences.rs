//! The table `llm_sentences`: what cleaning made of the answers about a dataset's classes, and what
//! of it is in the file of sentences.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int32Array};

use super::answers::Answers;
use super::clean::Rules;
use super::question::Question;
use super::settings::Names;
use crate::clip::Tokenizer;
use crate::error::{Error, Kind, Result};
use crate::language_model::texts_of;
use crate::store::layout::Store;
use crate::store::reader;
use crate::table::{self, Dims, arrays};

/// The table's name.
const TABLE: &str = "llm_sentences";

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// The class.
    pub class: String,
    /// The class that it was to be told from, if that was asked.
    pub other: Option<String>,
    /// The sentence.
    pub text: String,
    /// Why runs do not read it; `None` if they do.
    pub reason: Option<String>,
    /// Whether it was put into the file of sentences, now or earlier.
    pub written: bool,
    /// The answer that it is of.
    pub answer: String,
}

/// Cleans the answers to questions, which are in the order of `classes`.
///
/// # Errors
/// Fails if the tokenizer cannot encode a sentence.
pub fn judged(
    questions: &[Question],
    answers: &Answers,
    classes: &[String],
    names: Names,
    tokenizer: &Tokenizer,
) -> Result<Vec<Sentence>> {
    let context = tokenizer.context();
    let unreadable = |sentence: &str| {
        let tokens = tokenizer.sequence(sentence)?.tokens;
        if tokens > context {
            return Ok(Some(format!("too long: {tokens} tokens, of which the model reads {context}")));
        }
        Ok(tokenizer.mark_in(sentence)?.map(|mark| format!("spells out {mark}")))
    };
    let mut of_class: HashMap<&str, Vec<&Question>> = HashMap::new();
    for question in questions {
        of_class.entry(&question.class).or_default().push(question);
    }
    let mut sentences = Vec::new();
    for class in classes {
        let Some(questions) = of_class.get(class.as_str()) else { continue };
        let (rules, mut seen) = (Rules::new(class, classes, names, &unreadable), HashSet::new());
        for question in questions {
            let lines = answers.of(question).filter(|row| row.problem.is_none()).and_then(|row| row.answer.as_deref());
            let lines = lines.and_then(texts_of).unwrap_or_default();
            let cleaned = rules.clean(&lines, question.wanted, &mut seen)?.into_iter();
            sentences.extend(cleaned.map(|cleaned| Sentence {
                class: class.clone(),
                other: question.other.clone(),
                text: cleaned.sentence,
                reason: cleaned.reason,
                written: false,
                answer: question.id.clone(),
            }));
        }
    }
    Ok(sentences)
}

/// Reads what the last call said of a dataset's sentences.
///
/// # Errors
/// Returns [`Kind::Store`] if the table cannot be read.
pub fn read_sentences(dataset: &str, store: &Store) -> Result<Vec<Sentence>> {
    let mut sentences = Vec::new();
    for batch in reader::batches(&store.partition(TABLE, dataset)?, None, 4096)? {
        let batch = batch?;
        let written = batch.column_by_name("written").and_then(|column| column.as_boolean_opt());
        let written = written.ok_or_else(|| Error::new(Kind::Store, format!("`written` of {TABLE} is no flag")))?;
        let texts = |name: &str| arrays::strings(&batch, name);
        let maybe = |name: &str| arrays::optional_strings(&batch, name);
        let [classes, words, answers] = [texts("class")?, texts("sentence")?, texts("answer")?];
        let [others, reasons] = [maybe("other")?, maybe("reason")?];
        sentences.extend((0..batch.num_rows()).map(|row| Sentence {
            class: classes[row].to_owned(),
            other: others[row].map(str::to_owned),
            text: words[row].to_owned(),
            reason: reasons[row].map(str::to_owned),
            written: written.value(row),
            answer: answers[row].to_owned(),
        }));
    }
    Ok(sentences)
}

/// Replaces the rows of a dataset.
///
/// # Errors
/// Returns [`Kind::Store`] if they cannot be written.
pub fn write_sentences(sentences: &[Sentence], dataset: &str, store: &Store) -> Result<()> {
    let mut counts: HashMap<&str, i32> = HashMap::new();
    let indices: Vec<i32> = sentences
        .iter()
        .map(|sentence| {
            let count = counts.entry(&sentence.class).or_default();
            *count += 1;
            *count - 1
        })
        .collect();
    let schema = table::table(TABLE)?.arrow(&Dims::new())?;
    let columns: [(&str, ArrayRef); 7] = [
        ("class", arrays::text(sentences.iter().map(|s| &s.class))),
        ("index", Arc::new(Int32Array::from(indices))),
        ("other", arrays::optional_text(sentences.iter().map(|s| s.other.as_ref()))),
        ("sentence", arrays::text(sentences.iter().map(|s| &s.text))),
        ("reason", arrays::optional_text(sentences.iter().map(|s| s.reason.as_ref()))),
        ("written", Arc::new(sentences.iter().map(|s| Some(s.written)).collect::<BooleanArray>())),
        ("answer", arrays::text(sentences.iter().map(|s| &s.answer))),
    ];
    let batch = table::rows(TABLE, &schema, columns)?;
    store.partition(TABLE, dataset)?.replace("snapshot", &schema, &[batch], &[]).map(drop)
}
