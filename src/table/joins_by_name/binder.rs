//! Walks through a statement, from each `FROM` to what reads it.

use std::collections::HashMap;

use datafusion::common::TableReference;
use datafusion::execution::context::SessionContext;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    Distinct, JoinConstraint, JoinOperator, ObjectName, OrderBy, PipeOperator, Query, Select, SetExpr, TableAlias,
    TableFactor, TableWithJoins, With,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::{Context, Error, Kind, Result};
use crate::table::joins_by_name::ast::{self, normalized, quoted};
use crate::table::joins_by_name::expressions::Visible;
use crate::table::joins_by_name::items::{names, unique, write_out};
use crate::table::joins_by_name::scope::{Names, Scope};
use crate::table::joins_by_name::{correlated, has_join_by_name, pipes_into_join_by_name};
use crate::table::query::{explain, missing_table};

/// What is visible around a subquery in an expression.
type Outer<'a> = Option<&'a Visible<'a>>;

/// Knows the columns of every table, and how many tables were given a name.
pub(super) struct Binder<'a> {
    ctx: &'a SessionContext,
    tables: HashMap<TableReference, Names>,
    /// Tables of `WITH`, in the queries that the walk is inside of.
    parts: Vec<(String, Names)>,
    unnamed: usize,
}

impl<'a> Binder<'a> {
    pub(super) fn new(ctx: &'a SessionContext, tables: HashMap<TableReference, Names>) -> Binder<'a> {
        Binder { ctx, tables, parts: Vec::new(), unnamed: 0 }
    }

    /// Rewrites a query, and returns the names of its columns.
    pub(super) fn query(&mut self, query: &mut Query, outer: Outer<'_>) -> Result<Names> {
        self.part(query, None, outer)
    }

    /// Like [`query`](Self::query), for a query of `WITH`; if it is recursive, its right side knows
    /// it by `name`.
    fn part(&mut self, query: &mut Query, name: Option<&TableAlias>, outer: Outer<'_>) -> Result<Names> {
        let known = self.parts.len();
        if let Some(with) = &mut query.with {
            self.with(with, outer)?;
        }
        let names = match query.body.as_mut() {
            SetExpr::Select(select) => self.select(select, query.order_by.as_mut(), outer)?,
            body => {
                let names = self.body(body, name, outer)?;
                let result = Scope::relation(Vec::new(), names.clone());
                self.expressions(&mut query.order_by, &Visible { scope: &result, outer }, &[])?;
                names
            }
        };
        let nothing = Scope::default();
        self.expressions(&mut query.limit_clause, &Visible { scope: &nothing, outer }, &[])?;
        self.pipes(&mut query.pipe_operators)?;
        self.parts.truncate(known);
        Ok(names)
    }

    fn with(&mut self, with: &mut With, outer: Outer<'_>) -> Result<()> {
        for table in &mut with.cte_tables {
            let name = with.recursive.then_some(&table.alias);
            let names = self.part(&mut table.query, name, outer)?;
            self.parts.push(named(&table.alias, names));
        }
        Ok(())
    }

    fn body(&mut self, body: &mut SetExpr, name: Option<&TableAlias>, outer: Outer<'_>) -> Result<Names> {
        match body {
            SetExpr::Select(select) => self.select(select, None, outer),
            SetExpr::Query(query) => self.query(query, outer),
            SetExpr::SetOperation { left, right, .. } => {
                let names = self.body(left, None, outer)?;
                if let Some(name) = name {
                    self.parts.push(named(name, names.clone()));
                }
                self.body(right, None, outer)?;
                Ok(names)
            }
            SetExpr::Values(values) => {
                let nothing = Scope::default();
                self.expressions(values, &Visible { scope: &nothing, outer }, &[])?;
                let width = values.rows.first().map_or(0, |row| row.len());
                Ok((1..=width).map(|n| Some(format!("column{n}"))).collect())
            }
            // The planner rejects all others.
            _ => Ok(vec![None]),
        }
    }

    fn select(&mut self, select: &mut Select, order_by: Option<&mut OrderBy>, outer: Outer<'_>) -> Result<Names> {
        // Taken out so that the walk through the expressions does not visit it again.
        let mut from = std::mem::take(&mut select.from);
        let scope = self.from(&mut from, outer)?;
        let visible = Visible { scope: &scope, outer };
        if let (Some(condition), true) = (&select.selection, outer.is_some()) {
            correlated::check(condition, &visible)?;
        }
        let names = names(&select.projection, &scope);
        let items = std::mem::take(&mut select.projection);
        for item in items {
            write_out(item, &visible, &names, &mut select.projection)?;
        }
        let results = unique(&names);
        if let Some(Distinct::On(columns)) = &mut select.distinct {
            let mut columns = std::mem::take(columns);
            self.expressions(&mut columns, &visible, &results)?;
            self.expressions(select, &visible, &[])?;
            select.distinct = Some(Distinct::On(columns));
        } else {
            self.expressions(select, &visible, &[])?;
        }
        if let Some(order_by) = order_by {
            self.expressions(order_by, &visible, &results)?;
        }
        select.from = from;
        Ok(names)
    }

    fn from(&mut self, from: &mut [TableWithJoins], outer: Outer<'_>) -> Result<Scope> {
        let by_name = from.iter().any(has_join_by_name);
        let mut scope = Scope::default();
        for item in from {
            let next = self.joined(item, by_name, &Visible { scope: &scope, outer }, outer)?;
            scope = scope.and(next);
        }
        if by_name {
            scope.check_names()?;
        }
        Ok(scope)
    }

    /// Rewrites an item of `FROM`. `before` is what is visible to a `LATERAL` table.
    fn joined(
        &mut self,
        item: &mut TableWithJoins,
        by_name: bool,
        before: &Visible<'_>,
        outer: Outer<'_>,
    ) -> Result<Scope> {
        let mut scope = self.factor(&mut item.relation, by_name, before, outer)?;
        for join in &mut item.joins {
            let before = Visible { scope: &scope, outer: Some(before) };
            let right = self.factor(&mut join.relation, by_name, &before, outer)?;
            scope = self.join(&mut join.join_operator, scope, right, outer)?;
        }
        Ok(scope)
    }

    fn join(&mut self, operator: &mut JoinOperator, left: Scope, right: Scope, outer: Outer<'_>) -> Result<Scope> {
        let Some((rows, constraint)) = ast::taken_apart(operator) else { return Ok(left.and(right)) };
        let columns = match constraint {
            JoinConstraint::Using(columns) => columns.iter().map(column).collect::<Result<Vec<String>>>()?,
            JoinConstraint::Natural => left.common(&right)?,
            JoinConstraint::On(condition) => {
                let bind = |both: &Scope| self.expressions(condition, &Visible { scope: both, outer }, &[]);
                return left.joined(right, rows, bind);
            }
            JoinConstraint::None => return left.joined(right, rows, |_| Ok(())),
        };
        let (scope, condition) = left.joined_by(right, &columns, rows)?;
        *constraint = JoinConstraint::On(condition);
        Ok(scope)
    }

    fn factor(
        &mut self,
        factor: &mut TableFactor,
        by_name: bool,
        before: &Visible<'_>,
        outer: Outer<'_>,
    ) -> Result<Scope> {
        if let TableFactor::NestedJoin { table_with_joins, alias } = factor {
            match alias.take() {
                None => return self.joined(table_with_joins, by_name, before, outer),
                Some(name) if has_join_by_name(table_with_joins) => *factor = derived(table_with_joins, name)?,
                name => *alias = name,
            }
        }
        let columns = self.columns(factor, by_name, before, outer)?;
        let own = match factor {
            TableFactor::Table { name, args: None, .. } => ast::parts(name),
            _ => None,
        };
        let Some(alias) = ast::alias(factor) else { return Ok(Scope::relation(Vec::new(), columns)) };
        if alias.is_none() && own.is_none() && by_name {
            *alias = Some(self.unused());
        }
        Ok(match alias {
            Some(alias) => Scope::relation(vec![alias.name.clone()], renamed(alias, columns)),
            None => Scope::relation(own.unwrap_or_default(), columns),
        })
    }

    fn columns(
        &mut self,
        factor: &mut TableFactor,
        by_name: bool,
        before: &Visible<'_>,
        outer: Outer<'_>,
    ) -> Result<Names> {
        match factor {
            TableFactor::Table { name, args: None, .. } => self.table(name),
            TableFactor::Derived { lateral: true, subquery, .. } => self.query(subquery, Some(before)),
            TableFactor::Derived { subquery, .. } => self.query(subquery, outer),
            TableFactor::NestedJoin { table_with_joins, .. } => {
                Ok(self.joined(table_with_joins, by_name, before, outer)?.names())
            }
            _ => {
                self.expressions(factor, before, &[])?;
                Ok(columns_of_function(factor))
            }
        }
    }

    /// Returns a name for a table without one, so that its columns can be told from those that it
    /// is joined with.
    fn unused(&mut self) -> TableAlias {
        self.unnamed += 1;
        let name = quoted(&format!("unnamed {}", self.unnamed));
        TableAlias { explicit: true, name, columns: Vec::new(), at: None }
    }

    fn table(&self, name: &ObjectName) -> Result<Names> {
        let reference = object_name_to_table_reference(name.clone(), true).map_err(|e| explain(e, Some(self.ctx)))?;
        if let TableReference::Bare { table } = &reference
            && let Some((_, names)) = self.parts.iter().rev().find(|(name, _)| **name == **table)
        {
            return Ok(names.clone());
        }
        let names = self.tables.get(&reference).cloned();
        names.ok_or_else(|| missing_table(Some(self.ctx), &reference.to_string()))
    }

    /// Rewrites the subqueries after `|>`, but rejects joins by name: this walk does not follow
    /// what is visible there.
    fn pipes(&mut self, operators: &mut Vec<PipeOperator>) -> Result<()> {
        if operators.iter().any(pipes_into_join_by_name) {
            let what = "a join after |> cannot be by USING or NATURAL";
            return Err(Error::new(Kind::Query, what).hint("write ON, or the join into the FROM before"));
        }
        let nothing = Scope::default();
        self.expressions(operators, &Visible { scope: &nothing, outer: None }, &[])
    }
}

/// Returns the name of a column of `USING`, which cannot be qualified.
fn column(name: &ObjectName) -> Result<String> {
    match ast::parts(name).as_deref() {
        Some([name]) => Ok(normalized(name)),
        _ => {
            let what = format!("USING ({name}) names a table");
            Err(Error::new(Kind::Query, what).hint("its columns are those that both tables have: write them alone"))
        }
    }
}

/// Returns the name of a table of `WITH`, and its columns.
fn named(alias: &TableAlias, columns: Names) -> (String, Names) {
    (normalized(&alias.name), renamed(alias, columns))
}

/// Renames columns as in `AS t (a, b)`.
fn renamed(alias: &TableAlias, mut columns: Names) -> Names {
    for (at, column) in alias.columns.iter().enumerate() {
        let name = Some(normalized(&column.name));
        match columns.get_mut(at) {
            Some(column) => *column = name,
            None => columns.push(name),
        }
    }
    columns
}

/// Returns the columns of a table function. The planner has two, with one column each.
fn columns_of_function(factor: &TableFactor) -> Names {
    let of = |name: &ObjectName| ["range", "generate_series"].iter().any(|f| name.to_string().eq_ignore_ascii_case(f));
    match factor {
        TableFactor::Table { name, .. } | TableFactor::Function { name, .. } if of(name) => {
            vec![Some("value".to_owned())]
        }
        _ => vec![None],
    }
}

/// Turns `(a JOIN b USING (k)) AS name` into `(SELECT * FROM a JOIN b USING (k)) AS name`.
fn derived(join: &TableWithJoins, name: TableAlias) -> Result<TableFactor> {
    let parser = Parser::new(&GenericDialect).try_with_sql("SELECT *");
    let mut query = parser
        .and_then(|mut parser| parser.parse_query())
        .context(Kind::Query, || "cannot read a join in brackets".to_owned())?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = vec![join.clone()];
    }
    Ok(TableFactor::Derived { lateral: false, subquery: query, alias: Some(name), sample: None })
}
