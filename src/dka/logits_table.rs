//! The tables `prior_logits` and `fusion_logits` as a pass's statement sees them: read a block of
//! rows at a time, by all cores, and never held in memory.
//!
//! Both tables have the same pictures in the same order, and a scan may be one of both side by
//! side.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use datafusion::prelude::Expr;

use crate::fusion::blocks::Block;
use crate::fusion::matrix::Matrix;
use crate::panics::guard;
use crate::table::{arrays, tensor};

/// Bytes of a batch's logits: enough for kernels to be fast, and little enough that every core can
/// have a few.
const BATCH: i64 = 4 << 20;

/// One of the two tables of a pass.
#[derive(Debug)]
pub(super) struct LogitsTable {
    pub(super) name: &'static str,
    pub(super) schema: SchemaRef,
    /// The run's id.
    pub(super) run: String,
    /// The number of the pass.
    pub(super) pass: i32,
    /// The pictures' ids, in order.
    pub(super) ids: Arc<StringArray>,
    /// Cosines of the pictures, (rows, C). Tensors may not be used by two threads at once.
    pub(super) logits: Mutex<Matrix>,
}

impl LogitsTable {
    fn rows(&self) -> i64 {
        self.ids.len() as i64
    }

    /// Returns the rows of a block, of the columns at these places.
    fn read(&self, block: Block, columns: &[usize]) -> crate::error::Result<Vec<ArrayRef>> {
        let (from, to) = block.range();
        let (first, count) = (from as usize, (to - from) as usize);
        let column = |&place: &usize| match self.schema.field(place).name().as_str() {
            "run" => Ok(arrays::repeated(&self.run, count)),
            "pass" => Ok(arrays::repeated_i32(self.pass, count)),
            "image_id" => Ok(Arc::new(self.ids.slice(first, count)) as ArrayRef),
            _ => {
                let logits = guard(&self.logits).clone();
                tensor::to_vectors(&logits.block(block)?)
            }
        };
        columns.iter().map(column).collect()
    }
}

/// A table in a session, which DataFusion wants to share.
#[derive(Debug)]
pub(super) struct Shared(pub(super) Arc<LogitsTable>);

#[async_trait]
impl TableProvider for Shared {
    fn schema(&self) -> SchemaRef {
        self.0.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = || (0..self.0.schema.fields().len()).collect();
        let columns = projection.cloned().unwrap_or_else(all);
        Ok(Arc::new(Scan::of(vec![(self.0.clone(), columns)], state.config().target_partitions())?))
    }
}

/// Reads columns of one of the tables, or of both side by side.
#[derive(Debug)]
pub(super) struct Scan {
    tables: Vec<(Arc<LogitsTable>, Vec<usize>)>,
    /// The rows that each thread reads.
    shares: Vec<Range<i64>>,
    properties: Arc<PlanProperties>,
}

impl Scan {
    fn of(tables: Vec<(Arc<LogitsTable>, Vec<usize>)>, threads: usize) -> Result<Scan> {
        let mut fields = Vec::new();
        for (table, columns) in &tables {
            fields.extend(table.schema.project(columns)?.fields().iter().cloned());
        }
        let rows = tables.first().map_or(0, |(table, _)| table.rows());
        let threads = (threads.max(1) as i64).min((rows / batch_rows(&tables)).max(1));
        let shares: Vec<_> = (0..threads).map(|n| rows * n / threads..rows * (n + 1) / threads).collect();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::new(fields))),
            Partitioning::UnknownPartitioning(shares.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Scan { tables, shares, properties: Arc::new(properties) })
    }

    /// Returns a scan of the columns of both, the left ones first.
    pub(super) fn beside(left: &Scan, right: &Scan) -> Result<Scan> {
        Scan::of(left.tables.iter().chain(&right.tables).cloned().collect(), left.shares.len())
    }
}

/// Returns the number of rows of a batch.
fn batch_rows(tables: &[(Arc<LogitsTable>, Vec<usize>)]) -> i64 {
    let classes = |(table, _): &(Arc<LogitsTable>, _)| guard(&table.logits).size().1;
    let row = tables.iter().map(classes).sum::<i64>() * size_of::<f32>() as i64;
    (BATCH / row.max(1)).clamp(1, 8192)
}

/// Reads a block of rows of all tables.
fn read(tables: &[(Arc<LogitsTable>, Vec<usize>)], schema: &SchemaRef, block: Block) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (table, places) in tables {
        columns.extend(table.read(block, places).map_err(|error| DataFusionError::External(Box::new(error)))?);
    }
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

impl DisplayAs for Scan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.tables.iter().map(|(table, _)| table.name).collect();
        write!(f, "LogitsScan: {}", names.join(" beside "))
    }
}

impl ExecutionPlan for Scan {
    fn name(&self) -> &'static str {
        "LogitsScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let share = self.shares.get(partition).cloned().unwrap_or(0..0);
        let (tables, schema, size) = (self.tables.clone(), self.schema(), batch_rows(&self.tables));
        let of_batches = schema.clone();
        let batches = (0..).map(move |n| share.start + n * size..(share.start + (n + 1) * size).min(share.end));
        let batches = batches.take_while(|rows| rows.start < rows.end);
        let batches = batches.map(move |rows| read(&tables, &of_batches, Block::of_rows(rows.start, rows.end)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches))))
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        // A join keeps the smaller side in memory, so it must know which this is.
        let rows = self.tables.first().map_or(0, |(table, _)| table.rows()) as usize;
        let bytes = rows * (BATCH / batch_rows(&self.tables)) as usize;
        let statistics = Statistics::new_unknown(&self.schema());
        Ok(Arc::new(statistics.with_num_rows(Precision::Exact(rows)).with_total_byte_size(Precision::Inexact(bytes))))
    }
}
