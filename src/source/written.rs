//! The files that paths in lists and tables mean.

use std::path::{Path, PathBuf};

use super::folder::is_picture;
use super::item::Origin;
use crate::text::path;

/// Extensions of pictures that lists leave out, the commonest first.
const LEFT_OUT: [&str; 4] = ["jpg", "jpeg", "png", "JPG"];

/// Returns the place that a written path means, and what lies there. Relative paths start at
/// `root`, or `otherwise` if they lead nowhere from there. A path without a picture's extension
/// that leads nowhere means that with one. Nothing is fetched: an address on the web is unreadable.
pub(super) fn file(root: &Path, otherwise: Option<&Path>, written: &str) -> (PathBuf, Origin) {
    let local = written.strip_prefix("file://").unwrap_or(written);
    if let Some(scheme) = scheme(local) {
        let detail = format!("`{scheme}://` is an address, and only files on this machine are read: fetch it first");
        return (PathBuf::from(written), Origin::Unreadable { detail });
    }
    let place = path::place(root, local);
    let origin = Origin::of_file(&place);
    if !matches!(origin, Origin::Unreadable { .. }) || place.exists() {
        return (place, origin);
    }
    let mut others: Vec<PathBuf> = otherwise.map(|root| path::place(root, local)).into_iter().collect();
    if !is_picture(Path::new(local)) {
        let starts = [Some(place.clone()), others.first().cloned()].into_iter().flatten();
        others.extend(starts.flat_map(|start| LEFT_OUT.map(|extension| with_extension(&start, extension))));
    }
    match others.into_iter().find(|other| other.exists()) {
        Some(other) => {
            let origin = Origin::of_file(&other);
            (other, origin)
        }
        None => (place, origin),
    }
}

fn with_extension(place: &Path, extension: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// Returns the scheme of an address: `https` of `https://a.org/b.png`.
fn scheme(written: &str) -> Option<&str> {
    let (scheme, _) = written.split_once("://")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (!scheme.is_empty() && scheme.chars().all(fits)).then_some(scheme)
}
