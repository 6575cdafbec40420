//! What the names of columns mean in a `FROM`.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Ident, Value};

use crate::error::{Error, Kind, Result};
use crate::table::joins_by_name::ast::{binary, first_of, normalized, quoted};
use crate::table::query::missing;

/// Names of columns in their order; none where only the planner knows it, as of `count(*)`.
pub(super) type Names = Vec<Option<String>>;

/// A column with its table before it.
type Qualified = Vec<Ident>;

/// The rows that a join keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// Those that fit together.
    OfBoth,
    /// With them, the others of the left side.
    AllOfLeft,
    /// With them, the others of the right side.
    AllOfRight,
    /// With them, the others of both sides.
    All,
    /// Of the left side alone, without the columns of the right one.
    OnlyLeft,
    /// Of the right side alone, without the columns of the left one.
    OnlyRight,
}

/// Columns that a joined one may be of. It is written out wherever it is named, so the statement grows with them.
const MOST: usize = 64;

/// What is visible of a `FROM`, in the order of `SELECT *`.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) parts: Vec<Part>,
}

#[derive(Debug)]
pub(super) enum Part {
    Joined(Joined),
    Relation(Relation),
}

/// A column that joins by name made of several.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) name: String,
    /// Its value is the first that is not null.
    of: Vec<Qualified>,
}

/// A table, by the name that it has in the `FROM`.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) qualifier: Vec<Ident>,
    pub(super) columns: Names,
    /// Columns that are now part of a joined one, and so not visible without the table's name.
    pub(super) joined: BTreeSet<String>,
}

/// What a name that stands alone means.
pub(super) enum Found<'a> {
    /// Nothing that is here.
    Nothing,
    /// A column that no join by name made, or several: the planner knows what to do.
    Column,
    /// A joined column.
    Joined(&'a Joined),
}

impl Joined {
    /// The expression of its value.
    pub(super) fn value(&self) -> Expr {
        first_of(&self.of)
    }

    /// Whether it is no column of one table, and so has no name unless it is given one.
    pub(super) fn is_computed(&self) -> bool {
        self.of.len() > 1
    }
}

impl Relation {
    /// The columns that need no table's name.
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

    /// The last part of its name, by which the planner tells tables apart.
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

    /// How a user can write the column so that it is this one.
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
    /// Of one table. One that is never asked for by its name may have none.
    pub(super) fn relation(qualifier: Vec<Ident>, columns: Names) -> Scope {
        Scope { parts: vec![Part::Relation(Relation { qualifier, columns, joined: BTreeSet::new() })] }
    }

    /// Both, one after the other.
    pub(super) fn and(mut self, right: Scope) -> Scope {
        self.parts.extend(right.parts);
        self
    }

    /// What is visible after a join of both. `condition` sees what is visible within it.
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

    /// What is visible after a join of both by columns that both have, and the condition of that join.
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

    /// The columns that a natural join is by: those visible on both sides.
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

    /// Refuses two tables of one name, since the planner takes a column of the first for one of the second.
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

    /// Whether any visible column is a joined one.
    pub(super) fn has_joined(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Joined(_)))
    }

    /// The columns of `SELECT *`.
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

    /// The columns of `SELECT table.*`.
    pub(super) fn names_of(&self, table: &str) -> Names {
        let mut named = self.relations().filter(|relation| relation.name().as_deref() == Some(table));
        named.next().map_or_else(|| vec![None], |relation| relation.columns.clone())
    }

    /// Whether a table is called so.
    pub(super) fn has_table(&self, name: &str) -> bool {
        self.relations().any(|relation| relation.name().as_deref() == Some(name))
    }

    /// What a name that stands alone means.
    ///
    /// # Errors
    /// Where it means a joined column as well as another.
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

    /// The one column that a side of a join calls so.
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

    /// Takes a column out of what is visible, as part of a joined one.
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
