//! A source whose pictures all lie in one folder, which holds what was fetched from an address: a
//! list or a table may name files elsewhere, which are not of that address.

use std::path::{Component, Path, PathBuf};

use super::item::{Item, Origin};
use super::{Listing, Source};
use crate::error::Result;

/// A source without the files that lie outside its folder.
pub(super) struct Within {
    source: Box<dyn Source>,
    folder: PathBuf,
}

impl Within {
    /// Takes the source's pictures in and below a folder; the others are unreadable.
    pub(super) fn new(source: Box<dyn Source>, folder: PathBuf) -> Self {
        Within { source, folder }
    }
}

impl Source for Within {
    fn listing(&self) -> &Listing {
        self.source.listing()
    }

    fn fingerprint(&self) -> Result<String> {
        self.source.fingerprint()
    }

    fn items(self: Box<Self>) -> Box<dyn Iterator<Item = Result<Item>> + Send> {
        let Within { source, folder } = *self;
        let checked = move |item: Item| match &item.origin {
            Origin::File { path, .. } if !lies_in(path, &folder) => {
                let detail = "it lies outside of what is fetched from the address".to_owned();
                Item { origin: Origin::Unreadable { detail }, ..item }
            }
            _ => item,
        };
        Box::new(source.items().map(move |item| item.map(&checked)))
    }
}

/// Returns whether a path leads into a folder, wherever it goes on the way.
fn lies_in(path: &Path, folder: &Path) -> bool {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain.starts_with(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_lead_out_of_a_folder_and_back() {
        let lies_in = |path: &str| lies_in(Path::new(path), Path::new("/cache/a"));
        assert!(["/cache/a/1.png", "/cache/a/b/../1.png", "/cache/b/../a/1.png"].into_iter().all(lies_in));
        assert!(!["/cache/ab/1.png", "/cache/a/../b/1.png", "/1.png", "/cache/a/../../1.png"].into_iter().any(lies_in));
    }
}
