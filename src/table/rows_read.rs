//! Says how many rows a statement reads, before it is run.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;

use crate::error::{Context, Kind, Result};
use crate::table::catalog::Parts;
use crate::table::sql_views::Ordered;

/// Returns the rows of the tables that a statement scans, once for each scan, whatever it filters.
/// A statement about a statement (`EXPLAIN`) or about tables (`DESCRIBE`) reads none.
///
/// # Errors
/// Returns [`Kind::Query`] if the statement cannot be looked through.
pub fn rows_read(statement: &DataFrame) -> Result<usize> {
    let plan = statement.logical_plan();
    let is_about = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_));
    let rows = if is_about { Ok(0) } else { scanned(plan) };
    rows.context(Kind::Query, || "cannot look through the statement".to_owned())
}

fn scanned(plan: &LogicalPlan) -> datafusion::common::Result<usize> {
    let mut rows = 0_usize;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
        {
            if let Some(parts) = provider.downcast_ref::<Parts>() {
                rows = rows.saturating_add(parts.rows());
            } else if let Some(view) = provider.downcast_ref::<Ordered>() {
                rows = rows.saturating_add(scanned(view.statement())?);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(rows)
}
