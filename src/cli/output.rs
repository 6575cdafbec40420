//! Where rows go: standard output, or a file that gets its name only once it is complete.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Context, Error, Kind, Result};

fn cannot_write() -> String {
    "cannot write the rows".to_owned()
}

/// An open output.
pub(super) enum Target {
    Stdout(BufWriter<Stdout>),
    /// Something that exists and is not a regular file, such as a pipe.
    Special(BufWriter<File>),
    New(BufWriter<NamedTempFile>, PathBuf),
}

impl Target {
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self> {
        let Some(path) = file else {
            return Ok(Target::Stdout(BufWriter::new(io::stdout())));
        };
        if path.exists() && !path.is_file() {
            let file = OpenOptions::new().write(true).open(&path).at(Kind::System, "cannot write", &path)?;
            return Ok(Target::Special(BufWriter::new(file)));
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            let what = format!("cannot write {}: there is no folder {}", path.display(), folder.display());
            return Err(Error::new(Kind::System, what).hint("make the folder, or name another"));
        }
        let file = tempfile::Builder::new()
            .prefix(".rows-")
            // The process's umask applies to this as to any new file.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .at(Kind::System, "cannot write", &path)?;
        Ok(Target::New(BufWriter::new(file), path))
    }

    /// Writes what is left; a file gets its name only now. A closed pipe is not an error.
    pub(super) fn finish(mut self) -> Result<()> {
        match self.flush() {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {}
            flushed => flushed.context(Kind::System, cannot_write)?,
        }
        if let Target::New(out, path) = self {
            let file = out.into_inner().map_err(io::IntoInnerError::into_error).context(Kind::System, cannot_write)?;
            file.persist(&path).map_err(|e| e.error).at(Kind::System, "cannot write", &path)?;
        }
        Ok(())
    }

    fn inner(&mut self) -> &mut dyn Write {
        match self {
            Target::Stdout(out) => out,
            Target::Special(out) => out,
            Target::New(out, _) => out,
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.csv");
        std::fs::write(&file, "old").unwrap();
        let mut target = Target::open(Some(file.clone())).unwrap();
        target.write_all(b"new").unwrap();
        target.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
        target.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_query_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut target = Target::open(Some(folder.path().join("rows.csv"))).unwrap();
        target.write_all(b"half").unwrap();
        drop(target);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
