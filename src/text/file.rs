//! Reads text files of users and models up to a limit, and ordinary ones alone, since a path may
//! lead to a file of any kind and size; writes them whole or not at all.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Context, Error, Kind, Result};

/// What to do where something else than a file is named.
pub(crate) const INTO_A_FILE: &str = "write what comes of it into a file, and name that";

/// Returns what lies at a path, if it is neither a file nor a folder. It can be read once at most,
/// and what a pipeline names is read in every run.
pub(crate) fn special(path: &Path) -> Option<&'static str> {
    let kind = std::fs::metadata(path).ok()?.file_type();
    match () {
        () if kind.is_file() || kind.is_dir() => None,
        () if kind.is_fifo() => Some("a pipe"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    }
}

/// Opens an ordinary file to read it. A pipe would wait for a writer, for ever if there is none,
/// and many a device has no end.
///
/// # Errors
/// Fails if it is none, or the operating system refuses it.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    // Without waiting, since what lies there may have become a pipe since it was last looked at.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    match (found.is_file(), found.is_dir()) {
        (true, _) => Ok(file),
        (_, true) => Err(std::io::Error::from_raw_os_error(libc::EISDIR)),
        _ => Err(std::io::Error::other("not an ordinary file")),
    }
}

/// Reads an ordinary file, up to one byte more than `longest`, since it may have grown since its
/// length was asked.
///
/// # Errors
/// Fails as [`open`] does, or if it cannot be read.
pub(crate) fn bytes(path: &Path, longest: u64) -> std::io::Result<Vec<u8>> {
    let file = open(path)?;
    let most = longest.saturating_add(1);
    let mut bytes = Vec::with_capacity(file.metadata()?.len().min(most) as usize);
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the text of an ordinary file of at most `longest` bytes.
///
/// # Errors
/// Returns an error of `kind` if the file cannot be read, is longer, or is not UTF-8.
pub(crate) fn read(path: &Path, kind: Kind, longest: u64) -> Result<String> {
    let bytes = bytes(path, longest).at(kind, "cannot read", path)?;
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

/// Writes a file under a temporary name beside its place.
///
/// # Errors
/// Fails if the folder cannot be written to, or the disk is full.
pub(crate) fn beside(path: &Path, text: &str) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The process's umask applies to this as to any new file.
    let permissions = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().prefix(".new-").permissions(permissions).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Writes a file, or puts another text into it: until that is whole, it has the old one. A link
/// stays, and so do the rights of the file.
///
/// # Errors
/// Returns [`Kind::System`] if it cannot be written.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    let written = || {
        let (file, place) = in_place_of(path, text)?;
        file.persist(&place).map(drop).map_err(|refused| refused.error)
    };
    written().at(Kind::System, "cannot write", path)
}

/// Writes a file under a temporary name beside the place of the one that it is to replace, with the
/// rights of that. Returns it and the place, which is where a link leads.
///
/// # Errors
/// Fails as [`beside`] does.
pub(crate) fn in_place_of(path: &Path, text: &str) -> std::io::Result<(NamedTempFile, PathBuf)> {
    let place = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let file = beside(&place, text)?;
    if let Ok(known) = std::fs::metadata(&place) {
        file.as_file().set_permissions(known.permissions())?;
    }
    Ok((file, place))
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
        let folder = tempfile::tempdir().unwrap();
        let endless = folder.path().join("endless.txt");
        File::create(&endless).unwrap().set_len(1 << 40).unwrap();
        let error = read(&endless, Kind::Input, 1 << 20).unwrap_err().to_string();
        assert!(error.ends_with("endless.txt is longer than the 1 MB that such a file may have"), "{error}");
        let file = folder.path().join("names.txt");
        std::fs::write(&file, "rose\ntulip").unwrap();
        assert_eq!(read(&file, Kind::Input, 10).unwrap(), "rose\ntulip");
        assert!(read(&file, Kind::Input, 9).is_err());
        std::fs::write(&file, b"rose\nt\xfclip").unwrap();
        assert!(read(&file, Kind::Input, 99).unwrap_err().to_string().ends_with("names.txt:2: not UTF-8 text"));
    }

    #[test]
    fn a_pipe_and_a_device_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("names.txt");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            let error = read(path, Kind::Input, 1 << 20).unwrap_err().to_string();
            assert_eq!(error, format!("cannot read {}: not an ordinary file", path.display()));
        }
        let error = read(folder.path(), Kind::Input, 1 << 20).unwrap_err();
        assert_eq!(error.hint_text(), Some("name a file in it"), "{error}");
    }

    #[test]
    fn a_file_is_replaced_where_it_is_linked_to() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.json"), folder.path().join("link.json"));
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, "new").unwrap();
        assert!(link.is_symlink() && std::fs::read_to_string(&file).unwrap() == "new");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside them");
        assert!(replace(&folder.path().join("none/a.json"), "new").is_err());
    }
}
