//! The files that paths in lists and tables mean.

use std::path::{Path, PathBuf};

use super::item::Origin;
use crate::text::path;

/// Returns the place that a written path means, and what lies there. Relative paths start at
/// `root`, or `otherwise` if they lead nowhere from there. Nothing is fetched: an address on the
/// web is unreadable.
pub(super) fn file(root: &Path, otherwise: Option<&Path>, written: &str) -> (PathBuf, Origin) {
    let local = written.strip_prefix("file://").unwrap_or(written);
    if let Some(scheme) = scheme(local) {
        let detail = format!("`{scheme}://` is an address, and only files on this machine are read: fetch it first");
        return (PathBuf::from(written), Origin::Unreadable { detail });
    }
    let place = path::place(root, local);
    let place = match otherwise.map(|root| path::place(root, local)) {
        Some(other) if !place.exists() && other.exists() => other,
        _ => place,
    };
    let origin = Origin::of_file(&place);
    (place, origin)
}

/// Returns the scheme of an address: `https` of `https://a.org/b.png`.
fn scheme(written: &str) -> Option<&str> {
    let (scheme, _) = written.split_once("://")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (!scheme.is_empty() && scheme.chars().all(fits)).then_some(scheme)
}
