//! Reads and builds small parts of the parsed statement.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, TableAlias, TableFactor,
};

use crate::table::joins_by_name::scope::Rows;

/// Returns a name as the planner normalizes it: in lower case, unless it is quoted.
pub(super) fn normalized(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}

/// Returns a quoted name, which the planner leaves as it is.
pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// Returns the parts of a name such as `schema.table`, or `None` if one is not an identifier.
pub(super) fn parts(name: &ObjectName) -> Option<Vec<Ident>> {
    name.0.iter().map(|part| part.as_ident().cloned()).collect()
}

/// Builds a name from its parts: the inverse of [`parts`].
pub(super) fn object_name(parts: &[Ident]) -> ObjectName {
    ObjectName(parts.iter().cloned().map(ObjectNamePart::Identifier).collect())
}

/// Returns an expression without the brackets around it.
pub(super) fn without_brackets(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// Returns `left OPERATOR right`.
pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// Returns an expression for the first of some columns that is not null.
pub(super) fn first_of(columns: &[Vec<Ident>]) -> Expr {
    if let [column] = columns {
        return Expr::CompoundIdentifier(column.clone());
    }
    let argument =
        |column: &Vec<Ident>| FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::CompoundIdentifier(column.clone())));
    let args = columns.iter().map(argument).collect();
    Expr::Function(Function {
        name: object_name(&[Ident::new("coalesce")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Returns whether a join is by names that both sides have.
pub(super) fn is_by_name(operator: &JoinOperator) -> bool {
    match operator {
        JoinOperator::Join(by)
        | JoinOperator::Inner(by)
        | JoinOperator::CrossJoin(by)
        | JoinOperator::Left(by)
        | JoinOperator::LeftOuter(by)
        | JoinOperator::Right(by)
        | JoinOperator::RightOuter(by)
        | JoinOperator::FullOuter(by)
        | JoinOperator::LeftSemi(by)
        | JoinOperator::LeftAnti(by)
        | JoinOperator::RightSemi(by)
        | JoinOperator::RightAnti(by) => matches!(by, JoinConstraint::Using(_) | JoinConstraint::Natural),
        _ => false,
    }
}

/// Returns the rows that a join keeps and its constraint, or `None` for joins that the planner does
/// not support.
pub(super) fn taken_apart(operator: &mut JoinOperator) -> Option<(Rows, &mut JoinConstraint)> {
    Some(match operator {
        JoinOperator::Join(by) | JoinOperator::Inner(by) | JoinOperator::CrossJoin(by) => (Rows::OfBoth, by),
        JoinOperator::Left(by) | JoinOperator::LeftOuter(by) => (Rows::AllOfLeft, by),
        JoinOperator::Right(by) | JoinOperator::RightOuter(by) => (Rows::AllOfRight, by),
        JoinOperator::FullOuter(by) => (Rows::All, by),
        JoinOperator::LeftSemi(by) | JoinOperator::LeftAnti(by) => (Rows::OnlyLeft, by),
        JoinOperator::RightSemi(by) | JoinOperator::RightAnti(by) => (Rows::OnlyRight, by),
        _ => return None,
    })
}

/// Returns the alias that a `FROM` gives a table, or `None` for what the planner does not support.
pub(super) fn alias(factor: &mut TableFactor) -> Option<&mut Option<TableAlias>> {
    match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => Some(alias),
        _ => None,
    }
}
