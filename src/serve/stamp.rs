//! Tells whether a store has changed, without opening a part.

use crate::error::Result;
use crate::store::{Store, files};
use crate::table::schema::{self, TableSchema};

/// Returns a digest of which parts a store has of all tables: of their paths, and of the files
/// there. A part that was written again is another file. Of a store on objects, it is of all
/// objects and their tags, which take one list.
///
/// # Errors
/// Returns [`Kind::Store`] if the store cannot be read, [`Kind::Network`] if it is not listed.
pub(super) fn stamp(store: &Store) -> Result<blake3::Hash> {
    let mut digest = blake3::Hasher::new();
    if let Some(replica) = store.replica() {
        replica.objects()?.iter().for_each(|(key, tag)| {
            digest.update(format!("{key} {tag}\n").as_bytes());
        });
        return Ok(digest.finalize());
    }
    for table in schema::all().iter().map(TableSchema::name) {
        for name in store.partitions(table)? {
            for part in store.partition(table, &name)?.parts()? {
                // One that was removed after the folder was read has none.
                let Some(file) = files::identity(&part) else { continue };
                digest.update(part.as_os_str().as_encoded_bytes());
                digest.update(format!(" {file}\n").as_bytes());
            }
        }
    }
    Ok(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_that_comes_goes_or_changes_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let part = |name: &str| store.partition("images", "flowers").unwrap().part(name).unwrap();
        std::fs::create_dir_all(part("a").parent().unwrap()).unwrap();
        let mut seen = vec![stamp(&store).unwrap()];
        assert_eq!(stamp(&store).unwrap(), seen[0]);
        let mut look = |what: &str| {
            let now = stamp(&store).unwrap();
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        std::fs::write(part("a"), "1").unwrap();
        look("a part came");
        // The same length and time, by another file under the same name.
        let time = std::fs::metadata(part("a")).unwrap().modified().unwrap();
        let other = folder.path().join("other");
        std::fs::write(&other, "2").unwrap();
        std::fs::File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
        std::fs::rename(&other, part("a")).unwrap();
        look("a part was written again");
        std::fs::write(part("b"), "1").unwrap();
        look("another came");
        std::fs::remove_file(part("a")).unwrap();
        look("a part went");
    }
}
