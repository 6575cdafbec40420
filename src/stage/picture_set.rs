//! Identifies the set of pictures of a dataset, whatever their order and their paths. Ingest writes
//! it into the footer of `images`, so that no command has to read a million ids to know it.

use crate::error::Result;
use crate::image::ImageId;
use crate::store::layout::Partition;
use crate::store::reader;

/// The key in the footer of `images`.
pub(super) const KEY: &str = "pictures";

/// Returns the identity of a set of pictures, given their ids in order: 32 hexadecimal digits.
pub(super) fn of(sorted: impl IntoIterator<Item = ImageId>) -> String {
    let mut hasher = blake3::Hasher::new();
    for id in sorted {
        hasher.update(id.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Returns the identity of the pictures of a partition of `images`. Reads their ids only where an
/// earlier version of this program wrote the part.
///
/// # Errors
/// Returns [`Kind::Store`](crate::error::Kind::Store) if a part cannot be read.
pub(super) fn stored(images: &Partition) -> Result<String> {
    if let [part] = images.listed()?.as_slice()
        && let Some(written) = reader::footer(part)?.pairs.remove(KEY)
    {
        return Ok(written);
    }
    let mut ids = Vec::new();
    reader::each_image_id(images, |id| ids.extend(ImageId::parse(id)))?;
    ids.sort_unstable();
    Ok(of(ids))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::{ArrayRef, new_null_array};

    use super::*;
    use crate::store::layout::Store;
    use crate::table::{self, Dims, arrays};

    #[test]
    fn the_footer_says_what_the_ids_say_and_older_parts_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let images = Store::open(folder.path()).unwrap().partition("images", "set").unwrap();
        assert_eq!(stored(&images).unwrap(), of([]));
        let mut ids: Vec<ImageId> = [b"a", b"b", b"c"].map(|bytes| ImageId::of(bytes)).to_vec();
        ids.sort_unstable();
        let schema = table::table("images").unwrap().arrow(&Dims::new()).unwrap();
        // In another order.
        let text = || arrays::text(ids.iter().rev().map(ToString::to_string));
        let known: HashMap<&str, ArrayRef> = HashMap::from([
            ("image_id", text()),
            ("path", text()),
            ("split", text()),
            ("format", text()),
            ("paths", arrays::text_lists(ids.iter().map(|_| ["a"]))),
            ("byte_len", arrays::int64(vec![1; 3])),
            ("width", arrays::repeated_i32(1, 3)),
            ("height", arrays::repeated_i32(1, 3)),
        ]);
        let column = |name: &str, of| known.get(name).cloned().unwrap_or_else(|| new_null_array(of, 3));
        let columns =
            schema.fields().iter().map(|field| (field.name().as_str(), column(field.name(), field.data_type())));
        let rows = table::rows("images", &schema, columns.collect::<Vec<_>>()).unwrap();
        images.replace("snapshot", &schema, std::slice::from_ref(&rows), &[]).unwrap();
        assert_eq!(stored(&images).unwrap(), of(ids.clone()));
        images.replace("snapshot", &schema, &[rows], &[(KEY.to_owned(), "written".to_owned())]).unwrap();
        assert_eq!(stored(&images).unwrap(), "written", "no id is read where the footer says it");
    }
}
