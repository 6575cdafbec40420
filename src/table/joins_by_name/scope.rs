//! Resolves the names of columns in a `FROM`.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Ident, Value};

use crate::error::{Error, Kind, Result};
use crate::table::joins_by_name::ast::{binary, first_of, normalized, quoted};
use crate::table::query::missing;

/// Names of columns in order; `None` if only the planner knows it, as for `count(*)`.
pub(super) type Names = Vec<Option<String>>;

/// A column's name, qualified by its table.
type Qualified = Vec<Ident>;

/// The rows that a join keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// Matching rows.
    OfBoth,
    /// Matching rows, and the others of the left side.
    AllOfLeft,
    /// Matching rows, and the others of the right side.
    AllOfRight,
    /// Matching rows, and the others of both sides.
    All,
    /// Rows of the left side alone, without the columns of the right one.
    OnlyLeft,
    /// Rows of the right side alone, without the columns of the left one.
    OnlyRight,
}

/// Maximum number of columns merged into a joined one. They are written out wherever it is named,
/// so the statement grows with them.
const MOST: usize = 64;

/// What is visible in a `FROM`, in the order of `SELECT *`.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) parts: Vec<Part>,
}

#[derive(Debug)]
pub(super) enum Part {
    Joined(Joined),
    Relation(Relation),
}

/// A column that joins by name merged from several.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) name: String,
    /// The merged columns: the first that is not null is the value.
    of: Vec<Qualified>,
}

/// A table, under the name that it has in the `FROM`.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) qualifier: Vec<Ident>,
    pub(super) columns: Names,
    /// Columns that are now part of a joined one, and so visible only with the table's name.
    pub(super) joined: BTreeSet<String>,
}

/// What an unqualified name means.
pub(super) enum Found<'a> {
    /// Nothing in this scope.
    Nothing,
    /// One or more columns that are not joined ones: the planner resolves them.
    Column,
    /// A joined column.
    Joined(&'a Joined),
}

impl Joined {
    /// Returns the expression for the column's value.
    pub(super) fn value(&self) -> Expr {
        first_of(&self.of)
    }

    /// Returns whether the value is computed from several columns, and so has no name unless it is
    /// given one.
    pub(super) fn is_computed(&self) -> bool {
        self.of.len() > 1
    }
}

impl Relation {
    /// Returns the columns that are visible without the table's name.
    pub(super) fn visible(&self) -> impl Iterator<Item = Option<&str>> {
        let columns = self.columns.iter().map(Option::as_deref);
        columns.filter(|name| name.is_none_or(|name| !self.joined.contains(name)))
    }

    fn shows(&self, column: &str) -> bool {
        self.visible().any(|name| name == Some(column))
    }

    fn column(&self, name: &str) -> Qualified {
        self.qualifier.iter().cloned().chain([quoted(name)]).collect()
    }

    /// Returns the last part of the table's name, by which the planner tells tables apart.
    fn name(&self) -> Option<String> {
        self.qualifier.last().map(normalized)
    }
}

impl Part {
    fn shows(&self, column: &str) -> bool {
        match self {
            Part::Joined(joined) => joined.name == column,
            Part::Relation(relation) => relation.shows(column),
        }
    }

    fn columns(&self, name: &str) -> Vec<Qualified> {
        match self {
            Part::Joined(joined) => joined.of.clone(),
            Part::Relation(relation) => vec![relation.column(name)],
        }
    }

    /// Returns how a user can write the column unambiguously.
    fn written(&self, name: &str) -> String {
        let plain = |ident: &Ident| match ident.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            true => ident.value.clone(),
            false => ident.to_string(),
        };
        let columns = self.columns(name);
        let column = columns.first().map(|column| column.iter().map(plain).collect::<Vec<_>>().join("."));
        column.unwrap_or_default()
    }
}

impl Scope {
    /// Creates the scope of one table. A table that is never referred to by name may have an empty
    /// `qualifier`.
    pub(super) fn relation(qualifier: Vec<Ident>, columns: Names) -> Scope {
        Scope { parts: vec![Part::Relation(Relation { qualifier, columns, joined: BTreeSet::new() })] }
    }

    /// Returns this scope followed by another.
    pub(super) fn and(mut self, right: Scope) -> Scope {
        self.parts.extend(right.parts);
        self
    }

    /// Returns what is visible after a join of both scopes. `condition` is called with what is
    /// visible in the join's condition.
    pub(super) fn joined(
        self,
        right: Scope,
        rows: Rows,
        condition: impl FnOnce(&Scope) -> Result<()>,
    ) -> Result<Scope> {
        let of_left = self.parts.len();
        let mut both = self.and(right);
        condition(&both)?;
        match rows {
            Rows::OnlyLeft => both.parts.truncate(of_left),
            Rows::OnlyRight => drop(both.parts.drain(..of_left)),
            Rows::OfBoth | Rows::AllOfLeft | Rows::AllOfRight | Rows::All => {}
        }
        Ok(both)
    }

    /// Returns what is visible after a join by columns that both scopes have, and the condition of
    /// that join.
    pub(super) fn joined_by(mut self, mut right: Scope, columns: &[String], rows: Rows) -> Result<(Scope, Expr)> {
        let (mut joined, mut condition) = (Vec::new(), None);
        for (at, name) in columns.iter().enumerate() {
            if columns[..at].contains(name) {
                continue;
            }
            let (l, r) = (self.only(name, "left", columns)?, right.only(name, "right", columns)?);
            let equal = binary(first_of(&l), BinaryOperator::Eq, first_of(&r));
            condition = Some(match condition {
                None => equal,
                Some(condition) => binary(condition, BinaryOperator::And, equal),
            });
            let of = match rows {
                // They are equal, so the simpler one may stand for both.
                Rows::OfBoth if l.len() > r.len() => r,
                Rows::OfBoth | Rows::AllOfLeft => l,
                Rows::AllOfRight => r,
                Rows::All => [l, r].concat(),
                Rows::OnlyLeft | Rows::OnlyRight => continue,
            };
            if of.len() > MOST {
                let what = format!("more than {MOST} tables are joined in full by `{name}`");
                return Err(Error::new(Kind::Query, what).hint("join some of them first: WITH part AS (SELECT ...)"));
            }
            self.hide(name);
            right.hide(name);
            joined.push(Part::Joined(Joined { name: name.clone(), of }));
        }
        let condition = condition.unwrap_or_else(|| Expr::Value(Value::Boolean(true).into()));
        let sides = self.joined(right, rows, |_| Ok(()))?;
        Ok((Scope { parts: joined }.and(sides), condition))
    }

    /// Returns the columns of a natural join: those visible on both sides.
    pub(super) fn common(&self, right: &Scope) -> Result<Vec<String>> {
        let (left, right) = (self.names(), right.names());
        if left.contains(&None) && right.contains(&None) {
            let what = "both sides of a NATURAL JOIN have a column without a name";
            return Err(Error::new(Kind::Query, what).hint("name it: SELECT count(*) AS images"));
        }
        let right: BTreeSet<&str> = right.iter().flatten().map(String::as_str).collect();
        let common = left.iter().flatten().filter(|name| right.contains(name.as_str()));
        Ok(common.cloned().collect())
    }

    /// Rejects two tables with the same name, since the planner mistakes a column of the first for
    /// one of the second.
    pub(super) fn check_names(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        for name in self.relations().filter_map(Relation::name) {
            if !seen.insert(name.clone()) {
                let what = format!("two tables of the join are called `{name}`");
                return Err(Error::new(Kind::Query, what).hint(format!("give one another name: {name} AS other")));
            }
        }
        Ok(())
    }

    /// Returns whether any visible column is a joined one.
    pub(super) fn has_joined(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Joined(_)))
    }

    /// Returns the columns of `SELECT *`.
    pub(super) fn names(&self) -> Names {
        let mut names = Names::new();
        for part in &self.parts {
            match part {
                Part::Joined(joined) => names.push(Some(joined.name.clone())),
                Part::Relation(relation) => names.extend(relation.visible().map(|name| name.map(str::to_owned))),
            }
        }
        names
    }

    /// Returns the columns of `SELECT table.*`.
    pub(super) fn names_of(&self, table: &str) -> Names {
        let mut named = self.relations().filter(|relation| relation.name().as_deref() == Some(table));
        named.next().map_or_else(|| vec![None], |relation| relation.columns.clone())
    }

    /// Returns whether a table has that name.
    pub(super) fn has_table(&self, name: &str) -> bool {
        self.relations().any(|relation| relation.name().as_deref() == Some(name))
    }

    /// Returns what an unqualified name means.
    ///
    /// # Errors
    /// Returns [`Kind::Query`] if it could mean both a joined column and another one.
    pub(super) fn find(&self, name: &str) -> Result<Found<'_>> {
        let found: Vec<&Part> = self.parts.iter().filter(|part| part.shows(name)).collect();
        match found.as_slice() {
            [] => Ok(Found::Nothing),
            [Part::Joined(joined)] => Ok(Found::Joined(joined)),
            found if found.iter().all(|part| matches!(part, Part::Relation(_))) => Ok(Found::Column),
            found => {
                let written: Vec<String> = found.iter().map(|part| part.written(name)).collect();
                let what = format!("the column `{name}` is ambiguous: the join has more than one");
                Err(Error::new(Kind::Query, what).hint(format!("write {}", written.join(" or "))))
            }
        }
    }

    fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.parts.iter().filter_map(|part| match part {
            Part::Relation(relation) => Some(relation),
            Part::Joined(_) => None,
        })
    }

    /// Returns the one column with that name on a side of a join.
    fn only(&self, name: &str, side: &str, using: &[String]) -> Result<Vec<Qualified>> {
        let found: Vec<&Part> = self.parts.iter().filter(|part| part.shows(name)).collect();
        let place = || format!("on the {side} of JOIN ... USING ({})", using.join(", "));
        let ambiguous = || Error::new(Kind::Query, format!("{}: the column `{name}` is ambiguous", place()));
        match found.as_slice() {
            [Part::Relation(relation)] if relation.visible().filter(|column| *column == Some(name)).count() > 1 => {
                Err(ambiguous().hint("a derived table has two of that name: give one another name with AS"))
            }
            [part] => Ok(part.columns(name)),
            [] => {
                let names = self.names();
                let known: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
                Err(Error::new(Kind::Query, place()).cause(missing("column", name, &known)))
            }
            found => {
                let written: Vec<String> = found.iter().map(|part| part.written(name)).collect();
                Err(ambiguous().hint(format!("write ON, with {}", written.join(" or "))))
            }
        }
    }

    /// Hides a column that is now part of a joined one.
    fn hide(&mut self, name: &str) {
        self.parts.retain(|part| !matches!(part, Part::Joined(joined) if joined.name == name));
        for part in &mut self.parts {
            if let Part::Relation(relation) = part
                && relation.shows(name)
            {
                relation.joined.insert(name.to_owned());
            }
        }
    }
}
