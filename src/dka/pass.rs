//! One pass: reads two tables of logits and makes one table of pseudo-labels.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::execution::context::SessionContext;

use crate::dka::checked;
use crate::dka::parameters::Parameters;
use crate::dka::statement::Statement;
use crate::error::{Context, Error, Kind, Result};
use crate::table::query::explain;
use crate::table::session::bare_session;
use crate::table::{self, Dims, arrays};

/// The input of a pass.
#[derive(Debug, Clone, Copy)]
pub struct PassInput<'a> {
    /// The run's id.
    pub run: &'a str,
    /// The number of the pass, from 0.
    pub pass: i32,
    /// The pictures, all different.
    pub image_ids: &'a [String],
    /// The prior's cosines, `classes` for each picture in turn.
    pub prior: &'a [f32],
    /// The current model's cosines, `classes` for each picture in turn.
    pub fusion: &'a [f32],
    /// The number of classes.
    pub classes: usize,
    /// The numbers that the statement may use.
    pub parameters: Parameters,
    /// The labels of the pass before, one for each picture; negative if it had none. `None` in the
    /// first pass.
    pub previous: Option<&'a [i32]>,
}

/// The result of a pass.
#[derive(Debug, Clone)]
pub struct PseudoLabels {
    /// Rows of the table `pseudo_labels`, sorted by `image_id`.
    pub batch: RecordBatch,
    /// The class of each picture in the order of the input; -1 if the statement left it out. The
    /// next pass reads it as `previous`.
    pub class_ids: Vec<i32>,
    /// Statistics of the pass.
    pub summary: Summary,
}

/// Statistics of a pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Pictures whose label differs from the pass before, including those that gained or lost one;
    /// 0 in the first pass.
    pub changed: u64,
    /// Classes that this pass gives to no picture, whatever earlier passes gave.
    pub dead_classes: u64,
    /// Mean confidence of the labels; NaN if the statement gives none.
    pub mean_confidence: f64,
}

/// Runs the statement over the pass's two tables, with a `$bias` of zeros. The same input gives the
/// same bits: one thread, and rows sorted by `image_id`.
///
/// # Errors
/// Returns [`Kind::Query`] if the statement fails, returns no row, or returns a wrong one: an
/// unknown or repeated picture, or an unknown class. Returns [`Kind::Store`] if the input does not
/// fit together or has logits that are not finite.
pub async fn pseudo_labels(statement: &Statement, input: PassInput<'_>) -> Result<PseudoLabels> {
    balanced_pseudo_labels(statement, input, &vec![0.0; input.classes]).await
}

/// Like [`pseudo_labels`], with a `bias` for each class, which is `$bias` in the statement: what is
/// added to mixed logits of the columns `logits`, which are cosines, to balance the classes.
///
/// # Errors
/// Fails like [`pseudo_labels`], and returns [`Kind::Store`] if there is not a finite bias for each
/// class.
#[tracing::instrument(name = "statement", skip_all, fields(sql = statement.name(), pass = input.pass))]
pub async fn balanced_pseudo_labels(statement: &Statement, input: PassInput<'_>, bias: &[f32]) -> Result<PseudoLabels> {
    check(&input)?;
    if bias.len() != input.classes || !bias.iter().all(|bias| bias.is_finite()) {
        let what = format!("the biases are not {} finite numbers: {bias:?}", input.classes);
        return Err(Error::new(Kind::Store, what));
    }
    let ctx = session(&input)?;
    let df = statement.plan(&ctx, input.run, input.pass, input.parameters, bias).await?;
    let rows = df.collect().await.map_err(|e| statement.named(explain(e, Some(&ctx))))?;
    checked::labels(&rows, &input).map_err(|e| statement.named(e))
}

fn check(input: &PassInput<'_>) -> Result<()> {
    let refuse = |what: String| Err(Error::new(Kind::Store, what));
    let rows = input.image_ids.len();
    input.parameters.check()?;
    for (name, logits) in [("prior", input.prior), ("fusion", input.fusion)] {
        if input.classes == 0 || rows.checked_mul(input.classes) != Some(logits.len()) {
            let have = logits.len();
            return refuse(format!(
                "{have} {name} logits are not those of {rows} pictures and {} classes",
                input.classes
            ));
        }
        if let Some(place) = logits.iter().position(|v| !v.is_finite()) {
            let (row, class) = (place / input.classes, place % input.classes);
            let (value, id) = (logits[place], &input.image_ids[row]);
            return refuse(format!("the {name} logit of picture {id} for class {class} is {value}"));
        }
    }
    match input.previous {
        Some(previous) if previous.len() != rows => {
            refuse(format!("{} labels of the pass before are not those of {rows} pictures", previous.len()))
        }
        _ => Ok(()),
    }
}

/// Returns a session without labels that has the pass's tables: `prior_logits`, `fusion_logits`,
/// `previous`.
pub(super) fn session(input: &PassInput<'_>) -> Result<SessionContext> {
    let ctx = bare_session();
    let rows = input.image_ids.len();
    let dims = Dims::from([("C", input.classes)]);
    let run = || arrays::repeated(input.run, rows);
    let ids = || arrays::text(input.image_ids);
    let logits = |values| arrays::fixed_list_f32(values, input.classes);

    let prior = [("run", run()), ("image_id", ids()), ("logits", logits(input.prior)?)];
    let pass = ("pass", arrays::repeated_i32(input.pass, rows));
    let fusion = [("run", run()), pass, ("image_id", ids()), ("logits", logits(input.fusion)?)];
    for (name, columns) in [("prior_logits", &prior[..]), ("fusion_logits", &fusion[..])] {
        put(&ctx, name, table::rows(name, &table::table(name)?.arrow(&dims)?, columns.iter().cloned())?)?;
    }

    let schema = Arc::new(Schema::new(vec![
        Field::new("image_id", DataType::Utf8, false),
        Field::new("class_id", DataType::Int32, false),
    ]));
    let previous = input.previous.unwrap_or(&[]);
    let labelled = || input.image_ids.iter().zip(previous).filter(|(_, class)| **class >= 0);
    let classes: ArrayRef = Arc::new(Int32Array::from_iter_values(labelled().map(|(_, class)| *class)));
    let columns = vec![arrays::text(labelled().map(|(id, _)| id)), classes];
    let batch = RecordBatch::try_new(schema, columns).context(Kind::Store, || "cannot make table previous".into())?;
    put(&ctx, "previous", batch)?;
    Ok(ctx)
}

fn put(ctx: &SessionContext, name: &str, batch: RecordBatch) -> Result<()> {
    MemTable::try_new(batch.schema(), vec![vec![batch]])
        .and_then(|table| ctx.register_table(name, Arc::new(table)))
        .map(drop)
        .context(Kind::Store, || format!("cannot make table {name}"))
}
