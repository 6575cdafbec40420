//! Defines views for common questions about a run, each a statement in `sql_views/`.
//!
//! Each view exists twice. Its bare name shows the newest run, which is what a user who has just
//! run something means; `all_runs.NAME` shows every run of the pipeline, distinguished by the
//! column `run`. Views read `labels` and `predictions`, so only the user's session has them.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySchemaProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::TableType;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{LogicalPlan, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{Expr, col, lit};

use crate::table::query::query;

/// The SQL schema of the views over all runs.
pub const ALL_RUNS: &str = "all_runs";

/// A view: its name, and the statement that makes it.
#[derive(Debug, Clone, Copy)]
pub struct SqlView {
    /// The view's name.
    pub name: &'static str,
    /// A comment that says what a row is, then one `SELECT`.
    pub sql: &'static str,
}

/// All views, in the order in which a user usually looks at them.
pub const VIEWS: [SqlView; 11] = [
    SqlView { name: "pass_summary", sql: include_str!("sql_views/pass_summary.sql") },
    SqlView { name: "neighbour_agreement", sql: include_str!("sql_views/neighbour_agreement.sql") },
    SqlView { name: "changed_labels", sql: include_str!("sql_views/changed_labels.sql") },
    SqlView { name: "pass_answers", sql: include_str!("sql_views/pass_answers.sql") },
    SqlView { name: "disagreements", sql: include_str!("sql_views/disagreements.sql") },
    SqlView { name: "dead_classes", sql: include_str!("sql_views/dead_classes.sql") },
    SqlView { name: "least_certain", sql: include_str!("sql_views/least_certain.sql") },
    SqlView { name: "per_class", sql: include_str!("sql_views/per_class.sql") },
    SqlView { name: "confusion", sql: include_str!("sql_views/confusion.sql") },
    SqlView { name: "look_alikes", sql: include_str!("sql_views/look_alikes.sql") },
    SqlView { name: "duplicates", sql: include_str!("sql_views/duplicates.sql") },
];

/// The view over what is left of the logits of passes.
const ANSWERS: &str = "pass_answers";

/// Returns the views that have no rows of a pass of whose logits nothing is left.
pub(super) fn of_logits() -> impl Iterator<Item = &'static str> {
    VIEWS.iter().filter(|view| view.name == ANSWERS || view.sql.contains(ANSWERS)).map(|view| view.name)
}

/// Returns the statement of the view `neighbour_agreement` about the pairs of some pictures alone,
/// given what to select their pseudo-labels from. Their neighbours may be any.
pub fn neighbour_agreement_of(pseudo_labels: &str) -> String {
    let whole = include_str!("sql_views/neighbour_agreement.sql");
    whole.replace("FROM pseudo_labels own", &format!("FROM {pseudo_labels} own"))
}

impl SqlView {
    /// Returns what a row is, in a sentence or two: the comment that the statement begins with.
    pub fn doc(&self) -> String {
        let lines = self.sql.lines().map_while(|line| line.strip_prefix("--"));
        lines.map(str::trim).collect::<Vec<_>>().join(" ")
    }
}

/// Registers the views with a session that has every table. `newest` is the run that bare names
/// show; without it, views of runs are empty.
pub(super) async fn register(ctx: &SessionContext, newest: Option<&str>) -> Result<()> {
    if let Some(catalog) = ctx.catalog(&ctx.copied_config().options().catalog.default_catalog) {
        catalog.register_schema(ALL_RUNS, Arc::new(MemorySchemaProvider::new()))?;
    }
    for SqlView { name, sql } in VIEWS {
        let all = query(ctx, sql).await.map_err(|error| DataFusionError::External(Box::new(error)))?;
        ctx.register_table(TableReference::partial(ALL_RUNS, name), Ordered::new(all.clone()))?;
        // Views of pictures alone are the same for every run.
        let shown = match all.schema().has_column_with_unqualified_name("run") {
            true => all.filter(col("run").eq(lit(newest.unwrap_or_default())))?,
            false => all,
        };
        ctx.register_table(name, Ordered::new(shown))?;
    }
    Ok(())
}

/// A view whose rows keep the order of its statement, so that
/// `SELECT * FROM least_certain LIMIT 10` returns the least certain ones. The planner would remove
/// the order of a view that it can inline.
#[derive(Debug)]
pub(super) struct Ordered(ViewTable);

impl Ordered {
    fn new(rows: DataFrame) -> Arc<Self> {
        Arc::new(Ordered(ViewTable::new(rows.into_unoptimized_plan(), None)))
    }

    /// Returns the view's own statement.
    pub(super) fn statement(&self) -> &LogicalPlan {
        self.0.logical_plan()
    }
}

#[async_trait]
impl TableProvider for Ordered {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.0.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.scan(state, projection, filters, limit).await
    }
}
