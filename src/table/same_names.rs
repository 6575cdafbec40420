//! Keeps filters from moving past columns of the same name.
//!
//! DataFusion pushes filters down towards the tables, and adds more of them while a statement runs.
//! In doing so it looks up columns by name: if the result of a join has two called `image_id`, it
//! filters the first where the second is meant, and
//! `labels RIGHT JOIN images USING (image_id) WHERE labels.image_id IS NULL AND split = 'train'`
//! returns no rows. It looks them up by index since
//! <https://github.com/apache/datafusion/pull/25259>; with a version that includes it, this file
//! can be removed.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// Returns DataFusion's rules; those that push filters down do so only past columns of different
/// names.
pub(super) fn rules() -> Vec<Rule> {
    let guarded = |rule: Rule| match rule.name().starts_with("FilterPushdown") {
        true => Arc::new(Guarded(rule)) as Rule,
        false => rule,
    };
    PhysicalOptimizer::new().rules.into_iter().map(guarded).collect()
}

/// A rule that is applied to a plan with fences in it.
#[derive(Debug)]
struct Guarded(Rule);

impl PhysicalOptimizerRule for Guarded {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let fenced = plan.transform_up(|plan| {
            let below = plan.children().iter().any(|child| has_same_names(&child.schema()));
            Ok(match below || has_same_names(&plan.schema()) {
                true => Transformed::yes(Arc::new(Fence(plan)) as Arc<dyn ExecutionPlan>),
                false => Transformed::no(plan),
            })
        })?;
        let optimized = self.0.optimize(fenced.data, config)?;
        let open = optimized.transform_up(|plan| {
            Ok(match plan.downcast_ref::<Fence>() {
                Some(Fence(plan)) => Transformed::yes(Arc::clone(plan)),
                None => Transformed::no(plan),
            })
        })?;
        Ok(open.data)
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn has_same_names(schema: &Schema) -> bool {
    let mut names = HashSet::new();
    !schema.fields().iter().all(|field| names.insert(field.name()))
}

/// Lets no filter through, which is the default of a node that does not handle filters.
#[derive(Debug)]
struct Fence(Arc<dyn ExecutionPlan>);

impl DisplayAs for Fence {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fence")
    }
}

impl ExecutionPlan for Fence {
    fn name(&self) -> &str {
        "Fence"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(child), true) => Ok(Arc::new(Fence(child))),
            _ => internal_err!("a fence is around one plan"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.0.execute(partition, context)
    }
}
