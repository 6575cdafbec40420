//! Says of which passes a statement cannot see logits, because `adapt.keep` had them removed.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::dataframe::DataFrame;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::LogicalPlan;

use crate::error::{Context, Kind, Result};
use crate::table::query::query;
use crate::table::sql_views;
use crate::text::numbers::counted;

/// The table of all logits of passes.
const LOGITS: &str = "fusion_logits";

/// Returns a note if a statement reads logits of passes, or a view over them, that are not there
/// any more.
///
/// # Errors
/// Returns [`Kind::Query`] if the table `passes` cannot be read.
pub async fn removed_logits(ctx: &SessionContext, statement: &DataFrame) -> Result<Option<String>> {
    let mut names = BTreeSet::new();
    let seen = statement.logical_plan().apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            names.insert(scan.table_name.table().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    seen.context(Kind::Query, || "cannot look through the statement".to_owned())?;
    let (name, condition) = match sql_views::of_logits().find(|name| names.contains(*name)) {
        _ if names.contains(LOGITS) => (LOGITS, "kept IS NOT NULL"),
        Some(view) => (view, "kept = 0"),
        None => return Ok(None),
    };
    let sql = format!(
        "SELECT count(*) AS passes, count(DISTINCT run) AS runs, max(kept) AS kept FROM passes WHERE {condition}"
    );
    let rows = query(ctx, &sql).await?.collect().await.context(Kind::Query, || "cannot read passes".to_owned())?;
    let Some(row) = rows.first().filter(|row| row.num_rows() > 0) else { return Ok(None) };
    let number = |column: usize| row.column(column).as_primitive::<Int64Type>().value(0).cast_unsigned();
    if number(0) == 0 {
        return Ok(None);
    }
    let (passes, runs) = (counted(number(0), "pass"), counted(number(1), "run"));
    let rest = match row.column(2).as_primitive::<Int32Type>().value(0) {
        0 => "",
        _ => "; `top_logits` has the largest of each picture, and `pass_answers` the answers",
    };
    Ok(Some(format!(
        "`{name}` has no rows of {passes} of {runs}, as `adapt.keep` has not kept them (`passes.kept` says of which){rest}"
    )))
}
