//! The items of `SELECT`: what the result's columns are called, and what each is written out as.

use datafusion::sql::sqlparser::ast::{Expr, Ident, SelectItem, SelectItemQualifiedWildcardKind};

use crate::error::{Error, Kind, Result};
use crate::table::joins_by_name::ast::{self, normalized, quoted, without_brackets};
use crate::table::joins_by_name::expressions::Visible;
use crate::table::joins_by_name::scope::{Names, Scope};
use crate::table::joins_by_name::star::{excluded, name_of};

/// Returns the names of the result's columns, before anything is rewritten.
pub(super) fn names(items: &[SelectItem], scope: &Scope) -> Names {
    let mut names = Names::new();
    for item in items {
        match item {
            SelectItem::UnnamedExpr(expr) => names.push(name_of(expr)),
            SelectItem::ExprWithAlias { alias, .. } => names.push(Some(normalized(alias))),
            SelectItem::Wildcard(options) => names.extend(without(scope.names(), &excluded(options))),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), options) => {
                let table = ast::parts(table).and_then(|parts| parts.last().map(normalized)).unwrap_or_default();
                names.extend(without(scope.names_of(&table), &excluded(options)));
            }
            _ => names.push(None),
        }
    }
    names
}

fn without(mut names: Names, excluded: &[String]) -> Names {
    names.retain(|name| name.as_ref().is_none_or(|name| !excluded.contains(name)));
    names
}

/// Returns the names that exactly one column of the result has.
pub(super) fn unique(names: &Names) -> Vec<String> {
    let known = names.iter().flatten();
    known.filter(|name| names.iter().flatten().filter(|other| other == name).count() == 1).cloned().collect()
}

/// Rewrites an item of `SELECT`: writes out a star, and aliases a computed column by the name that
/// stands for it.
pub(super) fn write_out(
    item: SelectItem,
    visible: &Visible<'_>,
    names: &Names,
    items: &mut Vec<SelectItem>,
) -> Result<()> {
    let written = match item {
        SelectItem::Wildcard(options) if visible.scope.has_joined() => visible.scope.star(&options)?,
        SelectItem::UnnamedExpr(expr) => vec![match computed(&expr, visible)? {
            Some(name) => SelectItem::ExprWithAlias { alias: quoted(&normalized(&name)), expr },
            None => SelectItem::UnnamedExpr(expr),
        }],
        item => {
            items.push(item);
            return Ok(());
        }
    };
    for item in &written {
        let SelectItem::ExprWithAlias { alias, .. } = item else { continue };
        if names.iter().flatten().filter(|name| **name == alias.value).count() > 1 {
            let what = format!("two columns of the result are called `{}`", alias.value);
            return Err(Error::new(Kind::Query, what).hint("write the columns, and give one another name with AS"));
        }
    }
    items.extend(written);
    Ok(())
}

/// Returns the name of a computed column, if the expression is one.
fn computed(expr: &Expr, visible: &Visible<'_>) -> Result<Option<Ident>> {
    let Expr::Identifier(name) = without_brackets(expr) else { return Ok(None) };
    let joined = visible.joined(name)?;
    Ok(joined.filter(|joined| joined.is_computed()).map(|_| name.clone()))
}
