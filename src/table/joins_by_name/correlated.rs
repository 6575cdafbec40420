//! Rejects conditions of subqueries that the planner would evaluate wrongly.
//!
//! DataFusion turns a subquery and the query around it into a join, by the conditions that name
//! columns of both. In doing so it drops the table names of the subquery's columns, so that `a.k`
//! and `b.k` become one. The joined column of a full join is computed from two such columns, so it
//! cannot be used in such a condition.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, Visit, Visitor};

use crate::error::{Error, Kind, Result};
use crate::table::joins_by_name::ast::{normalized, without_brackets};
use crate::table::joins_by_name::expressions::Visible;
use crate::table::joins_by_name::scope::Found;

/// Rejects a condition that compares a computed column of its `FROM` with a column of an enclosing
/// query.
pub(super) fn check(condition: &Expr, visible: &Visible<'_>) -> Result<()> {
    if let Expr::BinaryOp { left, op: BinaryOperator::And, right } = without_brackets(condition) {
        check(left, visible)?;
        return check(right, visible);
    }
    let mut names = Mentioned { visible, computed: None, outer: false, queries: 0 };
    if let ControlFlow::Break(error) = condition.visit(&mut names) {
        return Err(error);
    }
    match names.computed {
        Some(name) if names.outer => {
            let what = format!("the column `{name}` of a full join is compared with one of the query around");
            let hint = "make the join a table: FROM (SELECT * FROM ... FULL JOIN ... USING (...)) AS joined";
            Err(Error::new(Kind::Query, what).hint(hint))
        }
        _ => Ok(()),
    }
}

/// Collects the names in a condition, outside its subqueries.
struct Mentioned<'a> {
    visible: &'a Visible<'a>,
    computed: Option<String>,
    outer: bool,
    queries: usize,
}

impl Mentioned<'_> {
    fn alone(&mut self, name: String) -> Result<()> {
        match self.visible.scope.find(&name)? {
            Found::Joined(joined) if joined.is_computed() => self.computed = Some(name),
            Found::Joined(_) | Found::Column => {}
            Found::Nothing => {
                for visible in self.visible.around() {
                    self.outer |= !matches!(visible.scope.find(&name)?, Found::Nothing);
                }
            }
        }
        Ok(())
    }

    fn of(&mut self, table: &str) {
        let own = self.visible.scope.has_table(table);
        self.outer |= !own && self.visible.around().any(|visible| visible.scope.has_table(table));
    }
}

impl Visitor for Mentioned<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        match expr {
            _ if self.queries > 0 => {}
            Expr::Identifier(name) => {
                if let Err(error) = self.alone(normalized(name)) {
                    return ControlFlow::Break(error);
                }
            }
            Expr::CompoundIdentifier(names) => {
                if let [.., table, _] = names.as_slice() {
                    self.of(&normalized(table));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
