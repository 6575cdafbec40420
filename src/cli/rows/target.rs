//! Where rows go: standard output, or a file that has its name only once it is whole.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::cannot_write;
use crate::cli::printer::Results;
use crate::error::{Context, Kind, Result};

/// An open output.
pub(super) enum Target {
    Stdout(BufWriter<Results>),
    /// Something that is there and is no ordinary file, such as a pipe.
    Special(BufWriter<File>),
    New(BufWriter<NamedTempFile>, PathBuf),
}

impl Target {
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self> {
        let Some(path) = file else {
            return Ok(Target::Stdout(BufWriter::new(Results::default())));
        };
        if path.exists() && !path.is_file() {
            let file = OpenOptions::new().write(true).open(&path).at(Kind::Store, "cannot write", &path)?;
            return Ok(Target::Special(BufWriter::new(file)));
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".rows-")
            // The process's umask takes from this what it takes from any new file.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .at(Kind::Store, "cannot write", &path)?;
        Ok(Target::New(BufWriter::new(file), path))
    }

    /// Whether nobody reads any more.
    pub(super) fn closed(&self) -> bool {
        matches!(self, Target::Stdout(out) if out.get_ref().closed())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.flush().context(Kind::Store, cannot_write)?;
        if let Target::New(out, path) = self {
            let file = out.into_inner().map_err(io::IntoInnerError::into_error).context(Kind::Store, cannot_write)?;
            file.persist(&path).map_err(|e| e.error).at(Kind::Store, "cannot write", &path)?;
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
