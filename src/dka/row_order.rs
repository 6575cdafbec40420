//! Whether a statement's result may depend on the order in which rows are read. Several threads
//! read them in no order, so that only a statement that does not care may use more than one: the
//! same input gives the same labels, whatever the number of cores.

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, expr::WindowFunctionParams};

/// Aggregates that give the same bits in any order. Sums of floats do not, and neither does the
/// mean.
const ORDERLESS: [&str; 6] = ["best_per_class", "bool_and", "bool_or", "count", "max", "min"];

/// Columns that tell rows apart which are otherwise equal.
const TELLS_APART: [&str; 2] = ["class_id", "image_id"];

/// Returns whether a plan gives the same rows, in some order, in whatever order rows are read.
///
/// # Errors
/// Fails if the plan cannot be walked.
pub(super) fn is_irrelevant(plan: &LogicalPlan) -> Result<bool> {
    let mut irrelevant = true;
    plan.apply_with_subqueries(|node| {
        irrelevant &= !matches!(node, LogicalPlan::Limit(_) | LogicalPlan::Distinct(Distinct::On(_)));
        node.apply_expressions(|expression| {
            expression.apply(|expression| {
                irrelevant &= is_orderless(expression);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(irrelevant)
}

fn is_orderless(expression: &Expr) -> bool {
    match expression {
        Expr::AggregateFunction(call) => ORDERLESS.contains(&call.func.name()) || !call.params.order_by.is_empty(),
        Expr::WindowFunction(call) => {
            let WindowFunctionParams { args, order_by, .. } = &call.params;
            let counts = args.is_empty() || ORDERLESS.contains(&call.fun.name());
            counts && (ORDERLESS.contains(&call.fun.name()) || order_by.iter().any(|key| tells_apart(&key.expr)))
        }
        Expr::ScalarFunction(call) => !["random", "uuid"].contains(&call.func.name()),
        _ => true,
    }
}

fn tells_apart(expression: &Expr) -> bool {
    matches!(expression, Expr::Column(column) if TELLS_APART.contains(&column.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dka::{Policy, Statement};

    async fn found(sql: &str) -> bool {
        is_irrelevant(&Statement::new("own.sql", sql).logical_plan().await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_shipped_policies_read_with_all_cores() {
        for policy in Policy::ALL {
            assert!(found(policy.statement().sql()).await, "{policy:?}");
        }
    }

    #[tokio::test]
    async fn what_asks_for_the_first_rows_or_sums_floats_reads_in_order() {
        let of = |what: &str| format!("SELECT image_id, 0 AS class_id FROM prior_logits {what}");
        assert!(found(&of("WHERE max_of(logits) > (SELECT min(max_of(logits)) FROM prior_logits)")).await);
        for ordered in [
            of("LIMIT 10"),
            of("WHERE max_of(logits) > (SELECT avg(max_of(logits)) FROM prior_logits)"),
            "SELECT image_id, CAST(row_number() OVER (ORDER BY max_of(logits)) AS INT) AS class_id FROM prior_logits"
                .into(),
            "SELECT image_id, CAST(10 * random() AS INT) AS class_id FROM prior_logits".into(),
        ] {
            assert!(!found(&ordered).await, "{ordered}");
        }
        let apart = "SELECT image_id, CAST(row_number() OVER (ORDER BY max_of(logits), image_id) AS INT) AS class_id \
                     FROM prior_logits";
        assert!(found(apart).await);
    }
}
