//! Writes out `SELECT *` over joins by name.

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, ObjectName, ReplaceSelectElement, ReplaceSelectItem, SelectItem,
    SelectItemQualifiedWildcardKind, WildcardAdditionalOptions,
};

use crate::error::{Error, Kind, Result};
use crate::table::joins_by_name::ast::{normalized, object_name, parts, quoted, without_brackets};
use crate::table::joins_by_name::scope::{Joined, Part, Relation, Scope};
use crate::table::query::missing;

impl Scope {
    /// Returns the items that `SELECT *` stands for.
    pub(super) fn star(&self, options: &WildcardAdditionalOptions) -> Result<Vec<SelectItem>> {
        if options.opt_ilike.is_some() || options.opt_rename.is_some() || options.opt_alias.is_some() {
            let what = "SELECT * over a join by name can only have EXCLUDE, EXCEPT and REPLACE";
            return Err(Error::new(Kind::Query, what).hint("write the columns"));
        }
        let excluded = excluded(options);
        let names = self.names();
        if let Some(unknown) = excluded.iter().find(|name| !names.iter().flatten().any(|known| known == *name)) {
            let known: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
            return Err(missing("column", unknown, &known));
        }
        let replaced: Vec<&ReplaceSelectElement> =
            options.opt_replace.iter().flat_map(|replace| &replace.items).map(AsRef::as_ref).collect();
        let mut items = Vec::new();
        for part in &self.parts {
            match part {
                Part::Joined(joined) if excluded.contains(&joined.name) => {}
                Part::Joined(joined) => items.push(item(joined, &replaced)),
                Part::Relation(relation) => items.extend(rest(relation, &excluded, &replaced)),
            }
        }
        Ok(items)
    }
}

/// Returns the columns that are left out, as in `SELECT * EXCLUDE (a, b)`.
pub(super) fn excluded(options: &WildcardAdditionalOptions) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    if let Some(except) = &options.opt_except {
        names.push(normalized(&except.first_element));
        names.extend(except.additional_elements.iter().map(normalized));
    }
    let excluded = match &options.opt_exclude {
        None => &[],
        Some(ExcludeSelectItem::Single(name)) => std::slice::from_ref(name),
        Some(ExcludeSelectItem::Multiple(names)) => names.as_slice(),
    };
    names.extend(excluded.iter().filter_map(parts).filter_map(|parts| parts.last().map(normalized)));
    names
}

/// Returns the item for a joined column, or for what replaces it.
fn item(joined: &Joined, replaced: &[&ReplaceSelectElement]) -> SelectItem {
    let alias = quoted(&joined.name);
    match replaced.iter().find(|element| normalized(&element.column_name) == joined.name) {
        Some(element) => SelectItem::ExprWithAlias { expr: element.expr.clone(), alias },
        None if joined.is_computed() => SelectItem::ExprWithAlias { expr: joined.value(), alias },
        None => SelectItem::UnnamedExpr(joined.value()),
    }
}

/// Returns the item for the columns of a table that are not part of a joined one, or `None` if none
/// is left.
fn rest(relation: &Relation, excluded: &[String], replaced: &[&ReplaceSelectElement]) -> Option<SelectItem> {
    let is_excluded = |name: Option<&str>| name.is_some_and(|name| excluded.iter().any(|other| other == name));
    if relation.visible().all(is_excluded) {
        return None;
    }
    let hidden = |name: &&String| relation.joined.contains(*name) || is_excluded(Some(name));
    let hidden: Vec<ObjectName> =
        relation.columns.iter().flatten().filter(hidden).map(|name| object_name(&[quoted(name)])).collect();
    let shows = |element: &&&ReplaceSelectElement| {
        let name = normalized(&element.column_name);
        relation.visible().any(|column| column == Some(name.as_str()))
    };
    let replaced: Vec<_> = replaced.iter().filter(shows).map(|&element| Box::new(element.clone())).collect();
    let options = WildcardAdditionalOptions {
        opt_exclude: (!hidden.is_empty()).then_some(ExcludeSelectItem::Multiple(hidden)),
        opt_replace: (!replaced.is_empty()).then_some(ReplaceSelectItem { items: replaced }),
        ..WildcardAdditionalOptions::default()
    };
    let table = SelectItemQualifiedWildcardKind::ObjectName(object_name(&relation.qualifier));
    Some(SelectItem::QualifiedWildcard(table, options))
}

/// Returns the name of an item of `SELECT`, if it has one before planning.
pub(super) fn name_of(expr: &Expr) -> Option<String> {
    match without_brackets(expr) {
        Expr::Identifier(name) => Some(normalized(name)),
        Expr::CompoundIdentifier(names) => names.last().map(normalized),
        _ => None,
    }
}
