//! The token of a cluster: who has it may have executors do whatever a unit of work does, as the
//! user who runs them.
//!
//! A scheduler always has one. Processes of one user that meet on this machine alone need not be
//! given one: whichever is first makes it, and the others find it. It is sent to no other machine.

use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::TOKEN;
use crate::error::{Context, Error, Kind, Result};
use crate::net::{random, server};
use crate::objects;

/// Bytes of chance in a token that is made here.
const BYTES: usize = 32;

/// Returns the token of a scheduler, and the file that it lies in if none was given. Only one for
/// this machine alone need not be given one.
///
/// # Errors
/// Fails if a token that was named cannot be used, or one cannot be made.
pub(super) fn of_scheduler(
    file: Option<&Path>,
    for_this_machine: bool,
    note: impl Fn(&str),
) -> Result<(Option<String>, Option<PathBuf>)> {
    if let Some(given) = server::token(file, TOKEN, &note)? {
        return Ok((Some(given), None));
    }
    if !for_this_machine {
        return Ok((None, None));
    }
    own(note).map(|(token, file)| (Some(token), Some(file)))
}

/// Returns the token that a driver or executor sends to a scheduler, which may be on this machine.
///
/// # Errors
/// Returns [`Kind::Usage`] if there is none, or it cannot be used.
pub(super) fn of_client(file: Option<&Path>, on_this_machine: bool, note: impl Fn(&str)) -> Result<String> {
    if let Some(given) = server::token(file, TOKEN, &note)? {
        return Ok(given);
    }
    if !on_this_machine {
        return Err(Error::new(Kind::Usage, "the cluster's token is not known")
            .hint(format!("name the file that has it with --cluster-token-file, or set {TOKEN}")));
    }
    own(note).map(|(token, _)| token)
}

/// Returns the token that this user's processes on this machine share, and its file; makes it if
/// there is none.
fn own(note: impl Fn(&str)) -> Result<(String, PathBuf)> {
    let file = objects::cached("cluster")?.join("token");
    if !file.exists() {
        make(&file)?;
    }
    let token = server::token(Some(&file), "", note)?;
    let gone = || Error::new(Kind::System, format!("{} is gone", file.display()));
    Ok((token.ok_or_else(gone)?, file))
}

fn make(file: &Path) -> Result<()> {
    let cannot = "cannot make the cluster's token in";
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder).at(Kind::System, cannot, folder)?;
    let token = random(BYTES)?;
    // Only its user may read a temporary file.
    let mut made = NamedTempFile::new_in(folder).at(Kind::System, cannot, folder)?;
    writeln!(made, "{token}").at(Kind::System, cannot, folder)?;
    // Another process of this user may just have made one: then that is the token.
    let _ = made.persist_noclobber(file);
    Ok(())
}
