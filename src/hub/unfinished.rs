//! A blob that has not come whole yet.
//!
//! The lock of a blob is not believed in: on a network's file system it may exclude nobody. So each
//! process writes under a name of its own, and only renames pass bytes from one to another: of
//! several processes that try, one succeeds.
//!
//! ```text
//! blobs/ETAG.HOST-PID.RANDOM.incomplete  is written by one process
//! blobs/ETAG.incomplete                  is left by one that has ended, here or in Python
//! ```

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::net::machine;

/// What the names of such files end with, as Python ends them.
const SUFFIX: &str = ".incomplete";

/// How long a file lies still that another machine's process has left behind. One at work gives a
/// silent server up sooner.
const STILL: Duration = Duration::from_secs(600);

/// The place of a blob in the making, which this process alone knows. What has come is left for the
/// next process when this is dropped.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
    /// Where the next process looks for it.
    left: PathBuf,
}

impl Unfinished {
    /// Makes a file for the blob that is called `etag`, and goes on with what was left of it.
    ///
    /// # Errors
    /// Fails if no file can be made in `blobs`.
    pub(super) fn begin(blobs: &Path, etag: &str) -> std::io::Result<Unfinished> {
        let prefix = format!("{etag}.{}-{}.", host(), std::process::id());
        // The process's umask applies to this as to any new file.
        let permissions = fs::Permissions::from_mode(0o666);
        let made =
            tempfile::Builder::new().prefix(&prefix).suffix(SUFFIX).permissions(permissions).tempfile_in(blobs)?;
        let path = made.into_temp_path().keep()?;
        let unfinished = Unfinished { path, left: blobs.join(format!("{etag}{SUFFIX}")) };
        unfinished.adopt(blobs, etag);
        Ok(unfinished)
    }

    /// Returns the place.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns how many bytes have come.
    pub(super) fn length(&self) -> u64 {
        length(&self.path)
    }

    /// Takes the longest of what earlier processes have left, and removes the others.
    fn adopt(&self, blobs: &Path, etag: &str) {
        let mut left: Vec<PathBuf> = fs::read_dir(blobs).into_iter().flatten().flatten().map(|e| e.path()).collect();
        left.retain(|path| *path != self.path && self.is_left(path, etag));
        left.sort_by_key(|path| std::cmp::Reverse(length(path)));
        let mut left = left.into_iter();
        // Another process may be quicker: then the next one is tried.
        if left.any(|path| fs::rename(path, &self.path).is_ok()) {
            left.for_each(|path| drop(fs::remove_file(path)));
        }
    }

    /// Returns whether a path is of the same blob, and nobody writes there any more.
    fn is_left(&self, path: &Path, etag: &str) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(owner) = name.and_then(|name| name.strip_prefix(etag)?.strip_suffix(SUFFIX)) else { return false };
        if owner.is_empty() {
            return true;
        }
        let process = owner.strip_prefix('.').and_then(|owner| owner.split('.').next()?.rsplit_once('-'));
        let is_dead = process.is_some_and(|(of, id)| {
            of == host() && id.parse::<u32>().is_ok_and(|id| !Path::new(&format!("/proc/{id}")).exists())
        });
        // Both times are by the clock of the file system.
        let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        let is_still = || Some(changed(&self.path)?.duration_since(changed(path)?).ok()? >= STILL);
        is_dead || is_still() == Some(true)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Once the blob has its name, there is nothing here.
        let _ = match self.length() {
            0 => fs::remove_file(&self.path),
            _ => fs::rename(&self.path, &self.left),
        };
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// Returns this machine's name, as far as it can be part of a file's.
fn host() -> String {
    let name = machine();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    if name.is_empty() { "here".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    const ETAG: &str = "0123456789abcdef0123456789abcdef01234567";

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn one_process_goes_on_with_what_was_left_and_each_writes_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(format!("{ETAG}.incomplete"));
        fs::write(&left, b"four").unwrap();
        let [first, second] = [(); 2].map(|()| Unfinished::begin(folder.path(), ETAG).unwrap());
        assert_eq!((first.length(), second.length()), (4, 0));
        assert_ne!(first.path(), second.path());
        drop(second);
        assert_eq!(names(folder.path()).len(), 1, "nothing has come");
        drop(first);
        assert_eq!(fs::read(left).unwrap(), b"four");
    }

    #[test]
    fn what_a_process_at_work_writes_stays_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let make = |owner: &str, length: usize, age: u64| {
            let path = folder.path().join(format!("{ETAG}.{owner}.incomplete"));
            fs::write(&path, vec![7; length]).unwrap();
            let changed = SystemTime::now() - Duration::from_secs(age);
            File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();
        };
        make("elsewhere-7.ab12", 9, 5);
        make(&format!("{}-{}.cd34", host(), std::process::id()), 8, 5);
        make("0b8e12f4", 7, 5);
        assert_eq!(Unfinished::begin(folder.path(), ETAG).unwrap().length(), 0);
        assert_eq!(names(folder.path()).len(), 3);
        // One that is dead, and two whose machines are silent: the longest of them is taken.
        make(&format!("{}-4194305.ef56", host()), 5, 5);
        make("elsewhere-8.ab12", 6, 3_600);
        make("1b8e12f4", 4, 3_600);
        let taken = Unfinished::begin(folder.path(), ETAG).unwrap();
        assert_eq!(taken.length(), 6);
        assert_eq!(names(folder.path()).len(), 4, "those at work, and this one");
    }
}
