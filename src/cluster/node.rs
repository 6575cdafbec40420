//! The physical node that does units of work: one row of its input is one unit.
//!
//! It stands over a table in memory with a partition for each unit, which is what the scheduler
//! knows how to slice: a node of ours without an input would do all units in each task. The same
//! node runs on one machine without a scheduler.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt};

use super::failure::sent;
use super::{Count, Worker};
use crate::net::Told;

/// A worker, as the session of a task has it.
pub(super) struct Hands {
    worker: Arc<dyn Worker>,
    /// What the executor is called.
    executor: String,
    told: Arc<dyn Told>,
    done: AtomicU64,
    failed: AtomicU64,
}

impl Hands {
    pub(super) fn new(worker: Arc<dyn Worker>, executor: String, told: Arc<dyn Told>) -> Arc<Self> {
        let zero = || AtomicU64::new(0);
        Arc::new(Hands { worker, executor, told, done: zero(), failed: zero() })
    }

    /// Does a unit, and counts it.
    async fn work(&self, order: &str, unit: &str) -> Result<String> {
        let made = self.worker.work(order, unit).await;
        let count = if made.is_ok() { &self.done } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        made.map_err(|error| {
            self.told.note(&format!("a unit failed: {error}"));
            sent(&error, &self.executor)
        })
    }

    /// Returns how many units are being done.
    pub(super) fn running(&self) -> usize {
        self.worker.running()
    }

    /// Returns how much was done so far, in any unit.
    pub(super) fn progress(&self) -> u64 {
        let units = self.done.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed);
        self.worker.progress().wrapping_add(units)
    }

    /// Returns what is counted here and by the worker.
    pub(super) fn counted(&self) -> Vec<Count> {
        let ended = |outcome: &str, count: &AtomicU64| {
            let count = count.load(Ordering::Relaxed);
            Count::total("units_total", "Units of work, by how they ended.", count).of("outcome", outcome)
        };
        let mut all = vec![ended("done", &self.done), ended("failed", &self.failed)];
        all.extend(self.worker.counted());
        all
    }
}

/// Does the units of its input, and gives a row for each: the unit, and what came of it.
#[derive(Debug)]
pub(super) struct UnitsExec {
    /// What all units have in common.
    order: Arc<str>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl UnitsExec {
    /// Makes the node over an input whose first column is of units.
    pub(super) fn new(order: Arc<str>, input: Arc<dyn ExecutionPlan>) -> Self {
        let partitions = input.properties().output_partitioning().partition_count();
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(made()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        UnitsExec { order, input, properties }
    }

    /// Makes the node over these units, a partition each.
    ///
    /// # Errors
    /// Fails if a table cannot be made of them.
    pub(super) fn of(order: &str, units: &[String]) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(UnitsExec::new(order.into(), table(units)?)))
    }

    pub(super) fn order(&self) -> &str {
        &self.order
    }
}

/// Returns a table in memory with a partition for each unit.
pub(super) fn table(units: &[String]) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = Arc::new(Schema::new(vec![Field::new("unit", DataType::Utf8, false)]));
    let row = |unit: &String| {
        let column: ArrayRef = Arc::new(StringArray::from(vec![unit.as_str()]));
        Ok(vec![RecordBatch::try_new(schema.clone(), vec![column])?])
    };
    let rows: Vec<Vec<RecordBatch>> = units.iter().map(row).collect::<Result<_>>()?;
    Ok(MemorySourceConfig::try_new_exec(&rows, schema.clone(), None)?)
}

/// Returns the columns of what the node makes.
fn made() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("unit", DataType::Utf8, false), Field::new("outcome", DataType::Utf8, false)]))
}

impl DisplayAs for UnitsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnitsExec")
    }
}

impl ExecutionPlan for UnitsExec {
    fn name(&self) -> &'static str {
        "UnitsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(UnitsExec::new(self.order.clone(), input))),
            _ => Err(DataFusionError::Internal("UnitsExec has one input".to_owned())),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let hands = context.session_config().get_extension::<Hands>();
        let hands = hands.ok_or_else(|| DataFusionError::Internal("no worker is here".to_owned()))?;
        let order = self.order.clone();
        let units = self.input.execute(partition, context)?.map(|batch| {
            let batch = batch?;
            let units = batch.column(0).as_string_opt::<i32>();
            let units = units.ok_or_else(|| DataFusionError::Internal("units are no text".to_owned()))?;
            let units: Vec<Result<String>> = units.iter().flatten().map(|unit| Ok(unit.to_owned())).collect();
            Ok::<_, DataFusionError>(units)
        });
        let units = units.map_ok(futures::stream::iter).try_flatten();
        let rows = units.and_then(move |unit| {
            let (hands, order) = (hands.clone(), order.clone());
            async move {
                let outcome = hands.work(&order, &unit).await?;
                let columns: Vec<ArrayRef> =
                    vec![Arc::new(StringArray::from(vec![unit])), Arc::new(StringArray::from(vec![outcome]))];
                Ok(RecordBatch::try_new(made(), columns)?)
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(made(), rows)))
    }
}
