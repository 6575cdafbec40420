//! A row of the table `llm_answers`.

use std::path::PathBuf;
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
use crate::store::reader;
use crate::table::{self, Dims, arrays};

/// The table's name.
pub(super) const TABLE: &str = "llm_answers";

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

/// Makes rows of the table.
///
/// # Errors
/// Fails only if the columns do not make a table, which is a fault of the program.
pub(super) fn batch(rows: &[Row]) -> Result<RecordBatch> {
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

/// Reads the rows of parts.
///
/// # Errors
/// Returns [`Kind::Store`] if a part cannot be read.
pub(super) fn read(parts: Vec<PathBuf>) -> Result<Vec<Row>> {
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
