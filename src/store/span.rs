//! The first and the last id that a part may have, by its footer, so that who looks for some ids
//! reads no part that has none of them.
//!
//! A part is written once. What its footer says is kept for the process, by the file that it was
//! read of: a part of the same name in a store that was made anew is another file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use parquet::file::statistics::Statistics;

use super::{files, reader};
use crate::panics::guard;

/// The column of ids.
pub(super) const ID: &str = "image_id";

/// Parts whose spans are kept, some hundred bytes each.
const KEPT: usize = 1 << 20;

/// The first and the last of some ids, both included.
pub type Span = (String, String);

/// What is known of a part.
struct Known {
    /// The file that it was read of.
    file: String,
    span: Option<Span>,
}

/// What is known of parts.
static KNOWN: LazyLock<Mutex<HashMap<PathBuf, Known>>> = LazyLock::new(Mutex::default);

/// Returns whether a part may have an id from `first` to `last`. One whose footer does not say so
/// may.
pub(super) fn may_have(part: &Path, (first, last): &Span) -> bool {
    span(part).is_none_or(|(least, most)| least <= *last && *first <= most)
}

fn span(part: &Path) -> Option<Span> {
    let file = files::identity(part)?;
    let known = || guard(&KNOWN);
    if let Some(known) = known().get(part).filter(|known| known.file == file) {
        return known.span.clone();
    }
    let span = read(part);
    let mut all = known();
    if all.len() >= KEPT {
        all.clear();
    }
    all.insert(part.to_owned(), Known { file, span: span.clone() });
    span
}

/// Reads the span of a part, if all its row groups say theirs.
fn read(part: &Path) -> Option<Span> {
    let (_, metadata) = reader::open(part).ok()?;
    let metadata = metadata.metadata();
    let column = metadata.file_metadata().schema_descr().columns().iter().position(|column| column.name() == ID)?;
    let mut found: Option<Span> = None;
    for group in metadata.row_groups() {
        let Statistics::ByteArray(about) = group.column(column).statistics()? else { return None };
        let text = |bytes: Option<&[u8]>| std::str::from_utf8(bytes?).ok().map(str::to_owned);
        let (least, most) = (text(about.min_bytes_opt())?, text(about.max_bytes_opt())?);
        found = Some(match found {
            Some((first, last)) => (first.min(least), last.max(most)),
            None => (least, most),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::store::Store;

    fn part(store: &Store, name: &str, ids: &[&str]) -> PathBuf {
        let schema = Arc::new(Schema::new(vec![Field::new(ID, DataType::Utf8, false)]));
        let rows = RecordBatch::try_new(schema.clone(), vec![Arc::new(StringArray::from(ids.to_vec()))]).unwrap();
        store.partition("images", "a").unwrap().write_part(name, &schema, &[rows], &[]).unwrap().path
    }

    #[test]
    fn a_part_is_read_only_for_what_it_may_have() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let path = part(&store, "one", &["c", "b", "e"]);
        let may = |first: &str, last: &str| may_have(&path, &(first.to_owned(), last.to_owned()));
        assert!(may("a", "b") && may("c", "d") && may("e", "z") && may("a", "z"));
        assert!(!may("a", "az") && !may("f", "z"));
        // Another file under the same name.
        part(&store, "one", &["x", "y"]);
        assert!(!may("a", "e") && may("x", "x"));
        assert!(may_have(Path::new("/none"), &("a".to_owned(), "b".to_owned())), "what is not known may have all");
        std::fs::write(&path, "damaged").unwrap();
        assert!(may("a", "b"), "who reads it finds that it is damaged");
    }
}
