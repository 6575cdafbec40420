//! The rows of a store, so that two stores can be compared.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use microclip_pipe::store::{Store, reader};
use microclip_pipe::table::schema;

/// Columns that say when and how fast, not what.
const CLOCKS: [&str; 7] =
    ["seconds", "total_seconds", "started", "finished", "invocations", "image_forwards", "text_forwards"];

/// Every row of every table as text, sorted, by table; without what differs from one run to the
/// next, and with the settings' store left out. A row that is there twice is twice in the list.
pub fn rows(store: &Path) -> BTreeMap<&'static str, Vec<String>> {
    let store = Store::open_read(store).unwrap();
    let options = FormatOptions::new().with_null("null");
    schema::all()
        .iter()
        .map(|table| {
            let mut rows = Vec::new();
            for name in store.partitions(table.name()).unwrap() {
                for batch in reader::batches(&store.partition(table.name(), &name).unwrap(), None, 1024).unwrap() {
                    let batch = batch.unwrap();
                    let kept = (0..batch.num_columns())
                        .filter(|at| !CLOCKS.contains(&batch.schema_ref().field(*at).name().as_str()));
                    let columns: Vec<_> =
                        kept.map(|at| ArrayFormatter::try_new(batch.column(at), &options).unwrap()).collect();
                    rows.extend((0..batch.num_rows()).map(|row| {
                        let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
                        without_store(&cells.join(" | "))
                    }));
                }
            }
            rows.sort();
            (table.name(), rows)
        })
        .collect()
}

/// The settings in `runs` name the store.
fn without_store(row: &str) -> String {
    let Some((before, rest)) = row.split_once("\"store\":\"") else { return row.to_owned() };
    format!("{before}{}", rest.split_once('"').map_or("", |(_, after)| after))
}

/// Fails with the name of the first table that differs.
#[track_caller]
pub fn assert_same_rows(one: &Path, other: &Path) {
    let (one, other) = (rows(one), rows(other));
    for (table, rows) in &one {
        let others = &other[table];
        assert_eq!(rows.len(), others.len(), "rows of {table}");
        let differ = rows.iter().zip(others).find(|(a, b)| a != b);
        assert!(differ.is_none(), "{table} differs: {:.400} and {:.400}", differ.unwrap().0, differ.unwrap().1);
    }
}
