//! Replaces names in expressions with the columns that they mean.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, SetExpr, Values, VisitMut, VisitorMut};

use crate::error::{Error, Result};
use crate::table::joins_by_name::ast::normalized;
use crate::table::joins_by_name::binder::Binder;
use crate::table::joins_by_name::scope::{Found, Joined, Scope};

/// What is visible in an expression: the columns of its own `FROM`, then those of the enclosing
/// queries.
#[derive(Clone, Copy)]
pub(super) struct Visible<'a> {
    pub(super) scope: &'a Scope,
    pub(super) outer: Option<&'a Visible<'a>>,
}

impl<'a> Visible<'a> {
    /// Iterates over what is visible in the enclosing queries, innermost first.
    pub(super) fn around(&self) -> impl Iterator<Item = &'a Visible<'a>> + use<'a> {
        std::iter::successors(self.outer, |visible| visible.outer)
    }

    /// Returns the joined column that a name means, if it means one.
    ///
    /// # Errors
    /// Fails if the name could also mean another column.
    pub(super) fn joined(&self, name: &Ident) -> Result<Option<&'a Joined>> {
        let name = normalized(name);
        let scopes = std::iter::once(self.scope).chain(self.around().map(|visible| visible.scope));
        for scope in scopes {
            match scope.find(&name)? {
                Found::Nothing => {}
                Found::Column => return Ok(None),
                Found::Joined(joined) => return Ok(Some(joined)),
            }
        }
        Ok(None)
    }
}

impl Binder<'_> {
    /// Rewrites all expressions of a part of the statement, and their subqueries. `results` are
    /// names that mean something else there, such as the columns of the result in `ORDER BY`.
    pub(super) fn expressions<T: VisitMut>(
        &mut self,
        part: &mut T,
        visible: &Visible<'_>,
        results: &[String],
    ) -> Result<()> {
        let mut walk = Walk { binder: self, visible, results, aside: Vec::new() };
        match part.visit(&mut walk) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

struct Walk<'a, 'b> {
    binder: &'a mut Binder<'b>,
    visible: &'a Visible<'a>,
    results: &'a [String],
    /// Queries that the walk is inside of, innermost last.
    aside: Vec<Query>,
}

impl VisitorMut for Walk<'_, '_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        // The binder walks through a query itself, so this walk visits an empty one instead.
        let mut whole = std::mem::replace(query, empty());
        let bound = self.binder.query(&mut whole, Some(self.visible));
        self.aside.push(whole);
        flow(bound.map(drop))
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if let Some(whole) = self.aside.pop() {
            *query = whole;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Identifier(name) = expr else { return ControlFlow::Continue(()) };
        if self.results.contains(&normalized(name)) {
            return ControlFlow::Continue(());
        }
        flow(self.visible.joined(name).map(|joined| {
            if let Some(joined) = joined {
                *expr = joined.value();
            }
        }))
    }
}

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

fn empty() -> Query {
    let nothing = Values { explicit_row: false, value_keyword: false, rows: Vec::new() };
    Query {
        with: None,
        body: Box::new(SetExpr::Values(nothing)),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}
