//! Ending pieces of statements whose job has ended: Ballista only stops to wait for them, and what
//! it has spawned goes on to its end, which for some joins is never.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

/// Makes a piece fail where it yields, once the flag is set.
///
/// # Errors
/// Fails if the piece cannot be changed.
pub(super) fn endable(piece: Arc<dyn ExecutionPlan>, ended: &Arc<AtomicBool>) -> Result<Arc<dyn ExecutionPlan>> {
    let changed = piece.transform_up(|node| {
        // They are around all that reads, and joins that make much of little.
        if !node.is::<CooperativeExec>() {
            return Ok(Transformed::no(node));
        }
        Ok(Transformed::yes(Arc::new(Endable { input: node, ended: ended.clone() }) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(changed.data)
}

/// Passes rows on, until the flag is set.
#[derive(Debug)]
struct Endable {
    input: Arc<dyn ExecutionPlan>,
    ended: Arc<AtomicBool>,
}

impl DisplayAs for Endable {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endable")
    }
}

impl ExecutionPlan for Endable {
    fn name(&self) -> &'static str {
        "Endable"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
            (Some(input), true) => Ok(Arc::new(Endable { input, ended: self.ended.clone() })),
            _ => Err(DataFusionError::Internal("Endable has one input".to_owned())),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let ended = self.ended.clone();
        let rows = self.input.execute(partition, context)?.map(move |batch| match ended.load(Ordering::Relaxed) {
            true => Err(DataFusionError::Execution("the job has ended".to_owned())),
            false => batch,
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), rows)))
    }
}
