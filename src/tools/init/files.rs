//! Writing files of a user, of whom none loses what is there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Kind, Result};
use crate::text::file as text_file;

/// Most earlier copies of a file.
const COPIES: usize = 1000;

/// Copies a file that is about to be overwritten with `text`, and returns the copy's place:
/// `FILE.old`, or `FILE.old.1` and so on where there are earlier copies. `None` if nothing is lost,
/// since the file has that text already, or [says nothing](says_nothing).
///
/// # Errors
/// Returns [`Kind::System`] if the file cannot be copied.
pub(super) fn keep(path: &Path, text: &str) -> Result<Option<PathBuf>> {
    let before = text_file::bytes(path, u64::MAX).at(Kind::System, "cannot read", path)?;
    if says_nothing(&before) || before == text.as_bytes() {
        return Ok(None);
    }
    for number in 0..COPIES {
        let mut copy = path.as_os_str().to_owned();
        copy.push(".old");
        if number > 0 {
            copy.push(format!(".{number}"));
        }
        let copy = PathBuf::from(copy);
        match File::create_new(&copy) {
            Ok(mut file) => {
                file.write_all(&before).and_then(|()| file.sync_all()).at(Kind::System, "cannot write", &copy)?;
                return Ok(Some(copy));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if text_file::bytes(&copy, u64::MAX).is_ok_and(|earlier| earlier == before) {
                    return Ok(Some(copy));
                }
            }
            Err(error) => return Err(error).at(Kind::System, "cannot write", &copy),
        }
    }
    let what = format!("{} has {COPIES} earlier copies beside it", path.display());
    Err(Error::new(Kind::Usage, what).hint("remove those that are not needed"))
}

/// Returns whether a file has no sentence: it is empty, or each of its lists of sentences is.
pub(super) fn says_nothing(bytes: &[u8]) -> bool {
    let sentences = || serde_json::from_slice::<BTreeMap<String, Vec<String>>>(bytes);
    bytes.iter().all(u8::is_ascii_whitespace) || sentences().is_ok_and(|all| all.values().all(Vec::is_empty))
}

/// Returns the error for files that are there and are not to be overwritten.
pub(super) fn there_already(path: &Path, others: &[&PathBuf]) -> Error {
    let more: String = others.iter().map(|other| format!("; so is {}", other.display())).collect();
    Error::new(Kind::Usage, format!("{} is there already, and is left as it is{more}", path.display()))
        .hint("--force overwrites what is there; --output names another pipeline file, or another folder for it")
}

/// Writes files under temporary names beside their places, and then renames them. If one cannot be
/// written or renamed, those that were new are removed again. A link to a file that is overwritten
/// stays, and so do the rights of the file.
///
/// # Errors
/// Returns [`Kind::System`] if one cannot be written, [`Kind::Usage`] if one is there meanwhile.
pub(super) fn write(files: &[(&PathBuf, String)], force: bool) -> Result<()> {
    let mut whole = Vec::new();
    for (path, text) in files {
        let (file, place) = match force {
            true => text_file::in_place_of(path, text),
            false => text_file::beside(path, text).map(|file| (file, (*path).clone())),
        }
        .at(Kind::System, "cannot write", path)?;
        whole.push((*path, file, place));
    }
    let mut new: Vec<&PathBuf> = Vec::new();
    for (path, file, place) in whole {
        let is_new = !path.exists();
        let named = if force { file.persist(&place) } else { file.persist_noclobber(&place) };
        match named {
            Ok(_) if is_new => new.push(path),
            Ok(_) => {}
            Err(refused) => {
                new.iter().for_each(|path| drop(fs::remove_file(path)));
                return match refused.error.kind() {
                    // Somebody else wrote it meanwhile.
                    ErrorKind::AlreadyExists if !force => Err(there_already(path, &[])),
                    _ => Err(refused.error).at(Kind::System, "cannot write", path),
                };
            }
        }
    }
    Ok(())
}
