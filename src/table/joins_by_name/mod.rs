//! `JOIN ... USING (column)` and `NATURAL JOIN` as the standard has them.
//!
//! Such a join makes one column of two. DataFusion keeps both, and takes the left one where the name stands alone: the
//! column of a right or full join is then null where only the right table has a row, three joins by one name or a
//! `WHERE` of it fail as ambiguous, and `SELECT *` shows the column of the table whose name comes first in the
//! alphabet. So a statement with such a join is rewritten before it is planned: the join becomes one by `ON`, and the
//! name, wherever it stands alone, the column that it means. That is the left one of an inner or left join, the right
//! one of a right join, and the first that is not null of a full join. `SELECT *` becomes the columns in the
//! standard's order. Names with a table before them mean what they always did.
//!
//! What a name means depends on the columns of the tables around it. So the walk through the statement ([`binder`])
//! knows for each `FROM` what is visible there ([`scope`]).

mod ast;
mod binder;
mod correlated;
mod expressions;
mod scope;
mod star;

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::execution::context::{SessionContext, SessionState};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    PipeOperator, Query, Select, Statement as SqlStatement, TableFactor, TableWithJoins, Visit, Visitor,
};

use crate::error::Result;
use crate::table::joins_by_name::binder::Binder;
use crate::table::query::explain;

/// Rewrites a statement's joins by name. A statement without one stays as it is.
///
/// # Errors
/// [`crate::error::Kind::Query`] where a table or a column of `USING` is missing, or where a name that stands alone
/// could be a joined column as well as another.
pub(super) async fn rewrite(ctx: &SessionContext, state: &SessionState, statement: &mut Statement) -> Result<()> {
    if !query_of(statement).is_some_and(|query| query.visit(&mut Finder).is_break()) {
        return Ok(());
    }
    let mut tables = HashMap::new();
    for reference in state.resolve_table_references(statement).map_err(|e| explain(e, Some(ctx)))? {
        // The name of a table function is not that of a table.
        let Ok(table) = ctx.table_provider(reference.clone()).await else { continue };
        let columns = table.schema().fields().iter().map(|field| Some(field.name().clone())).collect();
        tables.insert(reference, columns);
    }
    match query_of(statement) {
        Some(query) => Binder::new(ctx, tables).query(query, None).map(drop),
        None => Ok(()),
    }
}

/// The query that a statement asks or explains.
fn query_of(statement: &mut Statement) -> Option<&mut Query> {
    match statement {
        Statement::Statement(statement) => match statement.as_mut() {
            SqlStatement::Query(query) => Some(query),
            _ => None,
        },
        Statement::Explain(explain) => query_of(&mut explain.statement),
        _ => None,
    }
}

/// Breaks off at the first join by name.
struct Finder;

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        found(select.from.iter().any(has_join_by_name))
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        found(query.pipe_operators.iter().any(pipes_into_join_by_name))
    }
}

fn found(found: bool) -> ControlFlow<()> {
    if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Whether tables of one item of `FROM` are joined by name, in brackets or not.
fn has_join_by_name(item: &TableWithJoins) -> bool {
    let in_brackets = |factor: &TableFactor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => has_join_by_name(table_with_joins),
        _ => false,
    };
    let by_name = item.joins.iter().any(|join| ast::is_by_name(&join.join_operator) || in_brackets(&join.relation));
    by_name || in_brackets(&item.relation)
}

fn pipes_into_join_by_name(operator: &PipeOperator) -> bool {
    let PipeOperator::Join(join) = operator else { return false };
    let alone = TableWithJoins { relation: join.relation.clone(), joins: Vec::new() };
    ast::is_by_name(&join.join_operator) || has_join_by_name(&alone)
}
