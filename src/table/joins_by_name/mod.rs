//! Implements `JOIN ... USING (column)` and `NATURAL JOIN` as in the SQL standard.
//!
//! Such a join merges two columns into one. DataFusion keeps both, and resolves an unqualified name
//! to the left one: the column of a right or full join is then null where only the right table has
//! a row, three joins by one name or a `WHERE` with it fail as ambiguous, and `SELECT *` shows the
//! column of the table whose name comes first in the alphabet. A statement with such a join is
//! therefore rewritten before it is planned: the join becomes one with `ON`, and an unqualified
//! name becomes the column that it means. That is the left column of an inner or left join, the
//! right column of a right join, and the first that is not null of a full join. `SELECT *` becomes
//! the columns in the standard's order. Qualified names keep their meaning.
//!
//! What a name means depends on the columns of the tables around it, so the walk through the
//! statement ([`binder`]) tracks what is visible in each `FROM` ([`scope`]).

mod ast;
mod binder;
mod correlated;
mod expressions;
mod items;
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

/// Rewrites a statement's joins by name. A statement without any is left unchanged.
///
/// # Errors
/// Returns [`crate::error::Kind::Query`] if a table or a column of `USING` is missing, or if an
/// unqualified name could mean both a joined column and another one.
pub(super) async fn rewrite(ctx: &SessionContext, state: &SessionState, statement: &mut Statement) -> Result<()> {
    if !query_of(statement).is_some_and(|query| query.visit(&mut Finder).is_break()) {
        return Ok(());
    }
    let mut tables = HashMap::new();
    for reference in state.resolve_table_references(statement).map_err(|e| explain(e, Some(ctx)))? {
        // A reference may name a table function, which is not a table.
        let Ok(table) = ctx.table_provider(reference.clone()).await else { continue };
        let columns = table.schema().fields().iter().map(|field| Some(field.name().clone())).collect();
        tables.insert(reference, columns);
    }
    match query_of(statement) {
        Some(query) => Binder::new(ctx, tables).query(query, None).map(drop),
        None => Ok(()),
    }
}

/// Returns the query of a statement or of an `EXPLAIN`.
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

/// Stops at the first join by name.
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

/// Returns whether an item of `FROM` joins tables by name, in brackets or not.
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
