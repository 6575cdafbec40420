//! Builds rows of a table from columns by name, so that two columns of the same type cannot be
//! swapped.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::error::{Context, Error, Kind, Result};

/// Builds rows of `table`, whose schema is `schema`, from columns in any order.
///
/// # Errors
/// Returns [`Kind::Internal`] if a column is missing, is not one of the table's, is given twice,
/// has another type or length, or contains null but is not nullable; the message names it.
pub fn rows<'a>(
    table: &str,
    schema: &SchemaRef,
    columns: impl IntoIterator<Item = (&'a str, ArrayRef)>,
) -> Result<RecordBatch> {
    let refuse = |what: String| Error::new(Kind::Internal, format!("cannot make rows of table {table}: {what}"));
    let mut places: Vec<Option<ArrayRef>> = vec![None; schema.fields().len()];
    for (name, column) in columns {
        let (place, field) = schema.fields().find(name).ok_or_else(|| refuse(format!("it has no column `{name}`")))?;
        if column.data_type() != field.data_type() {
            let (want, have) = (field.data_type(), column.data_type());
            return Err(refuse(format!("column `{name}` is {want}, not {have}")));
        }
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(refuse(format!("column `{name}` has null")));
        }
        if places[place].replace(column).is_some() {
            return Err(refuse(format!("column `{name}` is given twice")));
        }
    }
    let named = schema.fields().iter().zip(places);
    let missing = |name: &String| refuse(format!("column `{name}` is missing"));
    let columns =
        named.map(|(field, column)| column.ok_or_else(|| missing(field.name()))).collect::<Result<Vec<_>>>()?;
    let length = columns.first().map_or(0, |column| column.len());
    if let Some(odd) = columns.iter().position(|column| column.len() != length) {
        let (name, rows) = (schema.field(odd).name(), columns[odd].len());
        return Err(refuse(format!("column `{name}` has {rows} rows, the first has {length}")));
    }
    RecordBatch::try_new(schema.clone(), columns)
        .context(Kind::Internal, || format!("cannot make rows of table {table}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int32Array;

    use super::*;
    use crate::table::{self, Dims, arrays};

    fn made(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
        rows("rejected", &table::table("rejected")?.arrow(&Dims::new())?, columns)
    }

    fn columns() -> Vec<(&'static str, ArrayRef)> {
        let text = |value: &str| arrays::repeated(value, 2);
        let none = arrow::array::new_null_array(&arrow::datatypes::DataType::Utf8, 2);
        let all = [
            ("path", text("a.jpg")),
            ("stage", text("ingest")),
            ("reason", text("truncated")),
            ("detail", text("cut")),
        ];
        all.into_iter().chain([("image_id", none)]).collect()
    }

    #[test]
    fn the_order_of_columns_is_the_tables_whatever_order_they_are_given_in() {
        let straight = made(columns()).unwrap();
        let mut swapped = columns();
        swapped.swap(0, 3);
        swapped.swap(1, 2);
        assert_eq!(made(swapped).unwrap(), straight);
        assert_eq!(arrays::strings(&straight, "detail").unwrap(), ["cut", "cut"]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let said = |change: fn(&mut Vec<(&str, ArrayRef)>)| {
            let mut columns = columns();
            change(&mut columns);
            made(columns).unwrap_err().to_string()
        };
        assert!(said(|c| drop(c.remove(2))).ends_with("column `reason` is missing"));
        assert!(said(|c| c[2].0 = "why").ends_with("it has no column `why`"));
        assert!(said(|c| c[2].0 = "path").ends_with("column `path` is given twice"));
        assert!(
            said(|c| c[2].1 = Arc::new(Int32Array::from(vec![1, 2]))).ends_with("column `reason` is Utf8, not Int32")
        );
        assert!(said(|c| c[2].1 = c[4].1.clone()).ends_with("column `reason` has null"));
        assert!(said(|c| c[2].1 = arrays::repeated("cut", 3)).ends_with("column `reason` has 3 rows, the first has 2"));
    }
}
