//! Parameters of statements: what stands in the place of a value until the statement is run.

use std::borrow::Cow;
use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};

use crate::error::{Error, Kind, Result};
use crate::table::query::explain;
use crate::text::numbers::counted;

/// Numbers the parameters that are written as `?`: `a < ? AND b < ?` becomes `a < $1 AND b < $2`,
/// which is what DataFusion knows. A text that cannot be read is left to the parser, which says
/// why.
pub fn numbered(sql: &str) -> Cow<'_, str> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect, sql).tokenize_with_location() else { return sql.into() };
    let nameless = |token: &Token| matches!(token, Token::Placeholder(name) if name == "?");
    let mut places = tokens.iter().filter(|token| nameless(&token.token)).map(|token| token.span.start).peekable();
    if places.peek().is_none() {
        return sql.into();
    }
    let (mut text, mut number, mut at) = (String::with_capacity(sql.len() + 16), 0, Location { line: 1, column: 1 });
    for letter in sql.chars() {
        if places.next_if_eq(&at).is_some() {
            number += 1;
            text.push_str(&format!("${number}"));
        } else {
            text.push(letter);
        }
        at = match letter {
            '\n' => Location { line: at.line + 1, column: 1 },
            _ => Location { line: at.line, column: at.column + 1 },
        };
    }
    text.into()
}

/// Returns the parameters of a statement, in the order in which they are bound. One whose type the
/// statement leaves open has the type null.
///
/// # Errors
/// Returns [`Kind::Query`] if a parameter is used as values of two types.
pub fn parameters(statement: &DataFrame) -> Result<Schema> {
    let types = statement.logical_plan().get_parameter_types().map_err(|e| explain(e, None))?;
    let mut types: Vec<(String, Option<DataType>)> = types.into_iter().collect();
    types.sort_by_key(|(name, _)| (number(name), name.clone()));
    let field = |(name, of): (String, Option<DataType>)| Field::new(name, of.unwrap_or(DataType::Null), true);
    Ok(Schema::new(types.into_iter().map(field).collect::<Vec<_>>()))
}

/// Returns which parameter one of this name is: that of `$2` is 2, and that of `$gamma` none.
fn number(name: &str) -> Option<usize> {
    name.trim_start_matches('$').parse().ok()
}

/// Returns a statement in which each parameter is the value in its column of a row: the second
/// column is `$2`, and the column `gamma` is `$gamma`.
///
/// # Errors
/// Returns [`Kind::Query`] if the row has another number of columns than the statement parameters,
/// or a value does not fit.
pub fn with_values(statement: DataFrame, row: &RecordBatch) -> Result<DataFrame> {
    let wanted = parameters(&statement)?;
    if row.num_rows() != 1 || row.num_columns() != wanted.fields().len() {
        let count = |n: usize, of| counted(n as u64, of);
        let (rows, columns) = (count(row.num_rows(), "row"), count(row.num_columns(), "column"));
        let wanted = count(wanted.fields().len(), "parameter");
        let what = format!("the statement has {wanted}, and {columns} of {rows} were bound");
        return Err(Error::new(Kind::Query, what).hint("bind one row, with a column for each parameter"));
    }
    let value = |column| ScalarValue::try_from_array(row.column(column), 0).map_err(|e| explain(e, None));
    let values = (0..row.num_columns()).map(value).collect::<Result<Vec<_>>>()?;
    let values = match wanted.fields().iter().all(|field| number(field.name()).is_some()) {
        true => ParamValues::from(values),
        false => {
            let names = row.schema();
            let names = names.fields().iter().map(|field| field.name().trim_start_matches('$').to_owned());
            ParamValues::from(names.zip(values).collect::<HashMap<_, _>>())
        }
    };
    statement.with_param_values(values).map_err(|e| explain(e, None))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::table::query::query;
    use crate::table::session::bare_session;

    #[test]
    fn question_marks_are_numbered_where_they_are_parameters() {
        assert_eq!(numbered("SELECT ?, '?' -- ?\n, \"?\", ?"), "SELECT $1, '?' -- ?\n, \"?\", $2");
        assert_eq!(numbered("SELECT 'größer?' WHERE a > ?"), "SELECT 'größer?' WHERE a > $1");
        assert!(matches!(numbered("SELECT $1"), Cow::Borrowed(_)));
        assert_eq!(numbered("SELECT 'open ?"), "SELECT 'open ?");
    }

    #[tokio::test]
    async fn values_take_the_places_of_parameters() {
        let ctx = bare_session();
        let row = |columns: Vec<(&str, ArrayRef)>| RecordBatch::try_from_iter(columns).unwrap();
        let number = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
        let sql = "SELECT value FROM generate_series(1, 9) WHERE value > ? AND value * 2 = ?";
        let statement = query(&ctx, &numbered(sql)).await.unwrap();
        let names: Vec<String> = parameters(&statement).unwrap().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, ["$1", "$2"]);
        let bound = with_values(statement.clone(), &row(vec![("0", number(3)), ("1", number(8))])).unwrap();
        let rows = bound.collect().await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().values(), &[4]);
        let error = with_values(statement, &row(vec![("0", number(3))])).unwrap_err();
        assert!(error.to_string().contains("has 2 parameters, and 1 column of 1 row"), "{error}");
        let named = query(&ctx, "SELECT $name AS name").await.unwrap();
        let text = Arc::new(StringArray::from(vec!["rose"])) as ArrayRef;
        let rows = with_values(named, &row(vec![("name", text)])).unwrap().collect().await.unwrap();
        assert_eq!(rows[0].num_rows(), 1);
    }
}
