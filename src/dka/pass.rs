//! One pass: reads two tables of logits and makes one table of pseudo-labels.

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;

use crate::cores;
use crate::dka::logits_table::{LogitsTable, Shared};
use crate::dka::parameters::Parameters;
use crate::dka::side_by_side::SideBySide;
use crate::dka::statement::Statement;
use crate::dka::{Policy, checked};
use crate::error::{Context, Error, Kind, Result};
use crate::fusion::matrix::Matrix;
use crate::memory;
use crate::table::query::explain;
use crate::table::session::bounded_session;
use crate::table::{self, Dims, arrays, tensor};

/// The input of a pass.
#[derive(Debug, Clone)]
pub struct PassInput<'a> {
    /// The run's id.
    pub run: &'a str,
    /// The number of the pass, from 0.
    pub pass: i32,
    /// The pictures, all different.
    pub image_ids: &'a [String],
    /// The prior's cosines, (rows, C).
    pub prior: Matrix,
    /// The current model's cosines, (rows, C).
    pub fusion: Matrix,
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

impl PassInput<'_> {
    /// Returns the number of classes.
    pub fn classes(&self) -> usize {
        self.prior.size().1.max(0) as usize
    }
}

/// Runs the statement over the pass's two tables, with a `$bias` of zeros. The same input gives the
/// same bits, whatever the number of cores: the rows of a policy's statement, whose result depends
/// on no order, are read by all, and those of any other statement by one thread, in order.
///
/// # Errors
/// Returns [`Kind::Query`] if the statement fails, returns no row, or returns a wrong one: an
/// unknown or repeated picture, or an unknown class. Returns [`Kind::Store`] if the input does not
/// fit together or has logits that are not finite.
pub async fn pseudo_labels(statement: &Statement, input: PassInput<'_>) -> Result<PseudoLabels> {
    let bias = vec![0.0; input.classes()];
    balanced_pseudo_labels(statement, input, &bias).await
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
    if bias.len() != input.classes() || !bias.iter().all(|bias| bias.is_finite()) {
        let what = format!("the biases are not {} finite numbers: {bias:?}", input.classes());
        return Err(Error::new(Kind::Store, what));
    }
    let ctx = session(&input)?;
    let df = statement.plan(&ctx, input.run, input.pass, input.parameters, bias).await?;
    let failed = |error: DataFusionError| statement.named(explained(error, &ctx));
    let (mut state, plan) = df.into_parts();
    if Policy::ALL.iter().any(|policy| policy.statement() == *statement) {
        state.config_mut().options_mut().execution.target_partitions = threads();
    }
    let rows = DataFrame::new(state, plan).collect().await.map_err(failed)?;
    checked::labels(&rows, &input).map_err(|e| statement.named(e))
}

/// Returns how many threads read the rows of a policy's statement: one for each core, as far as
/// each has memory to sort, which cannot be written to the disk.
fn threads() -> usize {
    const OF_A_THREAD: u64 = 64_000_000;
    cores::limit().min((memory::of_a_statement() / OF_A_THREAD).max(1) as usize)
}

/// Rewords DataFusion's error about a pass, whose memory is bounded by the pipeline.
fn explained(error: DataFusionError, ctx: &SessionContext) -> Error {
    let memory = matches!(error.find_root(), DataFusionError::ResourcesExhausted(_));
    let error = explain(error, Some(ctx));
    if memory { error.hint(MEMORY) } else { error }
}

const MEMORY: &str = "join prior_logits and fusion_logits by image_id alone, which takes no memory, keep few columns of \
                      them, or raise device.memory";

fn check(input: &PassInput<'_>) -> Result<()> {
    let refuse = |what: String| Err(Error::new(Kind::Store, what));
    let rows = input.image_ids.len();
    input.parameters.check()?;
    for (name, logits) in [("prior", &input.prior), ("fusion", &input.fusion)] {
        let (have, classes) = logits.size();
        if classes < 1 || (have, classes) != (rows as i64, input.prior.size().1) {
            return refuse(format!(
                "{have} x {classes} {name} logits are not those of {rows} pictures and {} classes",
                input.classes()
            ));
        }
        for block in logits.blocks().iter() {
            let numbers = tensor::numbers(&logits.block(block)?)?;
            if let Some(place) = numbers.iter().position(|v| !v.is_finite()) {
                let (row, class) = (block.range().0 as usize + place / classes as usize, place % classes as usize);
                let (value, id) = (numbers[place], &input.image_ids[row]);
                return refuse(format!("the {name} logit of picture {id} for class {class} is {value}"));
            }
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
    let ctx = bounded_session(memory::of_a_statement(), Arc::new(SideBySide))?;
    let dims = Dims::from([("C", input.classes())]);
    let ids = Arc::new(StringArray::from_iter_values(input.image_ids));
    for (name, logits) in [("prior_logits", &input.prior), ("fusion_logits", &input.fusion)] {
        let table = LogitsTable {
            name,
            schema: table::table(name)?.arrow(&dims)?,
            run: input.run.to_owned(),
            pass: input.pass,
            ids: ids.clone(),
            logits: Mutex::new(logits.clone()),
        };
        put(&ctx, name, Arc::new(Shared(Arc::new(table))))?;
    }

    let schema = Arc::new(Schema::new(vec![
        Field::new("image_id", DataType::Utf8, false),
        Field::new("class_id", DataType::Int32, false),
    ]));
    let previous = input.previous.unwrap_or(&[]);
    let labelled = || input.image_ids.iter().zip(previous).filter(|(_, class)| **class >= 0);
    let classes: ArrayRef = Arc::new(Int32Array::from_iter_values(labelled().map(|(_, class)| *class)));
    let columns = vec![arrays::text(labelled().map(|(id, _)| id)), classes];
    let batch =
        RecordBatch::try_new(schema.clone(), columns).context(Kind::Store, || "cannot make table previous".into())?;
    let batches = vec![vec![batch]];
    let table = MemTable::try_new(schema, batches).context(Kind::Store, || "cannot make table previous".into())?;
    put(&ctx, "previous", Arc::new(table))?;
    Ok(ctx)
}

fn put(ctx: &SessionContext, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
    ctx.register_table(name, table).map(drop).context(Kind::Store, || format!("cannot make table {name}"))
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::displayable;
    use tch::Tensor;

    use super::*;
    use crate::dka::Policy;

    async fn plan_of(statement: &Statement) -> String {
        let logits = Matrix::from(Tensor::rand([2, 3], tch::kind::FLOAT_CPU));
        let (image_ids, parameters) = (["a".to_owned(), "b".to_owned()], Parameters::default());
        let (prior, fusion) = (logits.clone(), logits);
        let input = PassInput { run: "r", pass: 0, image_ids: &image_ids, prior, fusion, parameters, previous: None };
        let df = statement.plan(&session(&input).unwrap(), "r", 0, parameters, &[0.0; 3]).await.unwrap();
        displayable(df.create_physical_plan().await.unwrap().as_ref()).indent(false).to_string()
    }

    #[tokio::test]
    async fn no_policy_keeps_logits_in_a_joins_memory() {
        for policy in Policy::ALL {
            let plan = plan_of(&policy.statement()).await;
            assert!(plan.contains("LogitsScan: prior_logits beside fusion_logits"), "{policy:?}: {plan}");
            assert!(!plan.contains("LogitsScan: prior_logits\n"), "{policy:?}: {plan}");
        }
        let own = "SELECT image_id, argmax(f.logits) AS class_id FROM fusion_logits f NATURAL JOIN prior_logits \
                   LEFT JOIN previous USING (image_id) WHERE f.pass = $pass";
        let own = plan_of(&Statement::new("own.sql", own)).await;
        assert!(own.contains("LogitsScan: fusion_logits beside prior_logits"), "{own}");
    }
}
