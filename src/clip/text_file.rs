//! Reading a model's small files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Context, Error, Kind, Result};

/// A longer one is none of a CLIP's: the longest index of shards has some 100 kB.
const LONGEST: u64 = 16 << 20;

/// The text of a configuration or index.
///
/// # Errors
/// [`Kind::Model`] where the file cannot be read, is absurdly long or no text.
pub(super) fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let file = File::open(path).at(Kind::Model, "cannot read", path)?;
    file.take(LONGEST + 1).read_to_string(&mut text).at(Kind::Model, "cannot read", path)?;
    if text.len() as u64 > LONGEST {
        let what = format!("{} is longer than {} MB: not a model's configuration", path.display(), LONGEST >> 20);
        return Err(Error::new(Kind::Model, what));
    }
    Ok(text)
}
