//! Reads text files of users and models up to a limit: a path may lead to a file of any kind and
//! size.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Context, Error, Kind, Result};

/// Reads the text of a file of at most `longest` bytes.
///
/// # Errors
/// Returns an error of `kind` if the file cannot be read, is longer, or is not UTF-8.
pub(crate) fn read(path: &Path, kind: Kind, longest: u64) -> Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).at(kind, "cannot read", path)?;
    file.take(longest + 1).read_to_end(&mut bytes).at(kind, "cannot read", path)?;
    if bytes.len() as u64 > longest {
        let what = format!("{} is longer than the {} MB that such a file may have", path.display(), longest >> 20);
        return Err(Error::new(kind, what).hint("is it the file that was meant?"));
    }
    decoded(bytes, path, kind)
}

/// The byte order mark that some editors and spreadsheets put before UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns the bytes behind a byte order mark, or all of them.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// Decodes a file's bytes as UTF-8. Skips a byte order mark.
///
/// # Errors
/// Returns an error of `kind` that names the line if they are not UTF-8.
pub(crate) fn decoded(mut bytes: Vec<u8>, path: &Path, kind: Kind) -> Result<String> {
    let mark = bytes.len() - without_mark(&bytes).len();
    bytes.drain(..mark);
    String::from_utf8(bytes).map_err(|e| {
        let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count() as u64;
        Error::in_line(kind, path, line, "not UTF-8 text").hint("save it as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        let text = decoded(b"\xef\xbb\xbfrose\n".to_vec(), Path::new("classes.txt"), Kind::Input);
        assert_eq!(text.unwrap(), "rose\n");
    }

    #[test]
    fn no_file_is_read_past_its_bound() {
        let error = read(Path::new("/dev/zero"), Kind::Input, 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero is longer than the 1 MB that such a file may have");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("names.txt");
        std::fs::write(&file, "rose\ntulip").unwrap();
        assert_eq!(read(&file, Kind::Input, 10).unwrap(), "rose\ntulip");
        assert!(read(&file, Kind::Input, 9).is_err());
        std::fs::write(&file, b"rose\nt\xfclip").unwrap();
        assert!(read(&file, Kind::Input, 99).unwrap_err().to_string().ends_with("names.txt:2: not UTF-8 text"));
    }
}
