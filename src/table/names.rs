//! Lists the names that a statement may use, for completion in a shell.

use std::collections::BTreeSet;

use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::registry::FunctionRegistry;

use crate::table::query::tables;
use crate::table::sql_views::{ALL_RUNS, VIEWS};

/// The names that a statement may use in a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Tables and views; views over all runs with their schema.
    pub tables: Vec<String>,
    /// Columns of all tables, without duplicates.
    pub columns: Vec<String>,
    /// Functions, aggregates and window functions.
    pub functions: Vec<String>,
}

/// Returns the names that a session knows.
pub async fn names(ctx: &SessionContext) -> Names {
    let mut tables = tables(ctx);
    let mut columns = BTreeSet::new();
    for table in &tables {
        if let Ok(provider) = ctx.table_provider(table.as_str()).await {
            columns.extend(provider.schema().fields().iter().map(|field| field.name().clone()));
        }
    }
    let all_runs = VIEWS.iter().filter(|view| tables.iter().any(|table| table == view.name));
    let all_runs: Vec<String> = all_runs.map(|view| format!("{ALL_RUNS}.{}", view.name)).collect();
    tables.extend(all_runs);
    let functions = ctx.udfs().into_iter().chain(ctx.udafs()).chain(ctx.udwfs());
    let functions: BTreeSet<String> = functions.collect();
    Names { tables, columns: columns.into_iter().collect(), functions: functions.into_iter().collect() }
}
