//! Checks files for a process that does not hold the store. Such a process sets nothing aside, so
//! it rejects or skips files that are not as they were written.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::store::layout::Partition;
use crate::store::seal::Verdict;
use crate::store::{files, inventory};

impl Partition {
    /// Compares all parts with their seals.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a part cannot be read, or is not as this version of the program
    /// wrote it.
    pub fn require_sound(&self) -> Result<()> {
        self.parts()?.iter().try_for_each(|part| require(part, inventory::examine(part)?))
    }

    /// Returns the parts that are as this version of the program wrote them.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the folder cannot be read or a part cannot be opened.
    pub fn sound_parts(&self) -> Result<Vec<PathBuf>> {
        let mut sound = Vec::new();
        for part in self.parts()? {
            if inventory::examine(&part)? == Verdict::Sound {
                sound.push(part);
            }
        }
        Ok(sound)
    }
}

/// Accepts a file that is as it was written.
///
/// # Errors
/// If the file is not as it was written, returns [`Kind::Store`] with its name and what to do.
pub fn require(path: &Path, verdict: Verdict) -> Result<()> {
    let again = "run the pipeline again: it sets the file aside and computes anew what was in it";
    let (what, hint) = match verdict {
        Verdict::Sound => return Ok(()),
        Verdict::Damaged(why) => (format!("is damaged: {why}"), again),
        Verdict::Older(which) => (format!("was written by an earlier version of microclip-pipe ({which})"), again),
        Verdict::Newer(which) => {
            (format!("was written by a later version of microclip-pipe ({which})"), "update the program")
        }
    };
    Err(Error::new(Kind::Store, format!("{} {what}", files::shown(path))).hint(hint))
}
