//! Which tars a data set consists of.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::source::files_below;
use crate::source::foreign::{self, Asked};
use crate::source::item::NOT_UTF_8;
use crate::text::file as text_file;
use crate::text::list::{SHOWN, some_of};
use crate::text::pattern;

const NAME_SOME: &str =
    "name a tar, a folder of tars, or a pattern: train-{000..099}.tar, {train,val}-{00..09}.tar, *.tar";

/// What programs that compress a tar append to its name or put in its place.
const COMPRESSED: [&str; 12] =
    ["tgz", "taz", "tbz", "tbz2", "txz", "tzst", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "tar.lz4", "tar.z"];

/// How compressed files begin: gzip, bzip2, xz, Zstandard, LZ4.
const BEGINNINGS: [&[u8]; 5] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"];

/// Returns the tars that a path means, sorted, each once: the tar itself, those in and below a
/// folder, or those that match a pattern.
///
/// # Errors
/// Returns [`Kind::Input`] if there is none, one of a pattern does not exist, or one is compressed.
pub(super) fn find(path: &Path) -> Result<Vec<PathBuf>> {
    let found: BTreeSet<PathBuf> = match path.is_dir() {
        true => below(path)?,
        false => pattern::paths(path)?.into_iter().collect(),
    };
    for shard in &found {
        if shard.to_str().is_none() {
            return Err(Error::new(Kind::Input, format!("{}: {NOT_UTF_8}", shard.display())));
        }
        if !shard.is_file() {
            let what = if shard.exists() { "is not a file" } else { "does not exist" };
            return Err(Error::new(Kind::Input, format!("{} {what}", shard.display())).hint(NAME_SOME));
        }
        if let Some(pointer) = foreign::pointer(shard) {
            return Err(pointer);
        }
        if is_compressed(shard) {
            return Err(compressed(std::slice::from_ref(shard)));
        }
    }
    Ok(found.into_iter().collect())
}

/// Returns the error for a path that means no shard.
pub(super) fn none_in(path: &Path) -> Error {
    let nothing = || Error::new(Kind::Input, format!("no tar in {}", path.display())).hint(NAME_SOME);
    foreign::instead(path, Asked::Pipeline).unwrap_or_else(nothing)
}

/// Returns whether a file is a shard by its name.
pub(in crate::source) fn is_shard(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar"))
}

/// Returns whether a file is a compressed tar by its name, which has an error of its own.
pub(in crate::source) fn is_compressed_by_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    COMPRESSED.iter().any(|end| name.strip_suffix(end).is_some_and(|rest| rest.ends_with('.')))
}

/// Returns the error for compressed tars.
pub(in crate::source) fn compressed(found: &[PathBuf]) -> Error {
    let names: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
    let (is, them) = if found.len() == 1 { ("is", "it") } else { ("are", "them") };
    let what = format!(
        "{} {is} compressed as a whole, so that no picture in {them} can be read by itself",
        some_of(&names, SHOWN)
    );
    Error::new(Kind::Input, what).hint(format!(
        "decompress {them}: `gunzip --keep FILE`, `unzstd FILE`, `unxz --keep FILE` or `bunzip2 --keep FILE`; \
         pictures are compressed already, and plain shards are hardly larger. An archive of folders is unpacked, \
         `tar xf FILE`, and the folder named"
    ))
}

fn is_compressed(path: &Path) -> bool {
    let mut begin = [0; 6];
    let read = text_file::open(path).and_then(|mut file| file.read(&mut begin)).unwrap_or(0);
    is_compressed_by_name(path) || BEGINNINGS.iter().any(|known| begin[..read].starts_with(known))
}

/// Returns the tars in and below a folder.
fn below(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let (mut found, mut packed) = (BTreeSet::new(), Vec::new());
    for file in files_below(folder) {
        let file = file?;
        if is_shard(&file) {
            found.insert(file);
        } else if is_compressed_by_name(&file) {
            packed.push(file);
        }
    }
    // What lies beside its plain form is what that was made from.
    packed.retain(|path| !found.contains(&plain(path)));
    if !packed.is_empty() {
        packed.sort();
        return Err(compressed(&packed));
    }
    Ok(found)
}

/// Returns the name of a compressed tar once it is not compressed any more.
fn plain(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    match name.contains(".tar.") {
        true => path.with_extension(""),
        false => path.with_extension("tar"),
    }
}
