//! Paths as people and other systems write them: from the home folder, with backslashes, or with
//! accents that the disk spells otherwise.

use std::path::{Component, Path, PathBuf};

use super::names::{composed, decomposed};

/// Returns where a path leads that is written in a file: below `base` unless it is whole, with `~`
/// for the user's home. One that does not exist is taken for what it means if that exists: with
/// backslashes as Windows writes them, or with its accents spelled as on the disk.
pub(crate) fn place(base: &Path, written: &str) -> PathBuf {
    let place = base.join(from_home(written));
    if (written.is_ascii() && !written.contains('\\')) || place.exists() {
        return place;
    }
    if written.contains('\\') {
        return on_disk(base.join(from_home(&written.replace('\\', "/"))));
    }
    on_disk(place)
}

/// Returns a path with the user's home in place of a `~` at its start, as shells read it.
pub(crate) fn from_home(written: &str) -> PathBuf {
    let Some(rest) = written.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
        return PathBuf::from(written);
    };
    match std::env::var_os("HOME") {
        Some(home) if !home.is_empty() => Path::new(&home).join(rest.trim_start_matches('/')),
        _ => PathBuf::from(written),
    }
}

/// Returns a path as the disk spells it: macOS writes a letter and its accent as two characters
/// where keyboards and other systems write one. Returns the path itself if nothing is there under
/// either spelling.
pub(crate) fn on_disk(path: PathBuf) -> PathBuf {
    if path.to_str().is_none_or(str::is_ascii) || path.exists() {
        return path;
    }
    let mut found = PathBuf::new();
    for part in path.components() {
        let spelled = match part {
            Component::Normal(name) => name.to_str().and_then(|name| {
                let spellings = [name.into(), composed(name), decomposed(name)];
                spellings.iter().map(|name| found.join(name.as_ref())).find(|path| path.exists())
            }),
            other => Some(found.join(other)),
        };
        let Some(spelled) = spelled else { return path };
        found = spelled;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let here = |written: &str| place(folder.path(), written).strip_prefix(folder.path()).unwrap().to_owned();
        // The folder as Linux writes it, the file as macOS does.
        let written = "Blüten/Gänseblümchen.png";
        let there = format!("Blüten/{}", decomposed("Gänseblümchen.png"));
        std::fs::create_dir(folder.path().join("Blüten")).unwrap();
        std::fs::write(folder.path().join(&there), "").unwrap();
        for written in [written, &decomposed(written), &there, &written.replace('/', "\\")] {
            assert!(folder.path().join(here(written)).exists(), "{written:?}");
        }
        assert_eq!(here("Blüten/fehlt.png"), Path::new("Blüten/fehlt.png"), "what is missing keeps its name");
        assert_eq!(here("a\\b.png"), Path::new("a/b.png"));
        assert_eq!(place(folder.path(), "/whole/path.png"), Path::new("/whole/path.png"));
    }

    #[test]
    fn a_tilde_is_the_home_folder() {
        // Services may have no home.
        match std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from) {
            Some(home) => {
                assert_eq!(place(Path::new("/base"), "~/a b.png"), home.join("a b.png"));
                assert_eq!(from_home("~"), home);
            }
            None => assert_eq!(from_home("~/a b.png"), Path::new("~/a b.png")),
        }
        assert_eq!(from_home("~other/a.png"), Path::new("~other/a.png"));
        assert_eq!(from_home("a~/b.png"), Path::new("a~/b.png"));
    }
}
