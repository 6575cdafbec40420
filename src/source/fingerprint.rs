//! A digest of what a source consists of, as the file system reports it.

use super::item::{Item, Origin};

/// Collects any number of parts. Each text is preceded by its length, so that different lists of
/// parts are told apart.
pub(super) struct Fingerprint(blake3::Hasher);

impl Fingerprint {
    /// Starts a fingerprint; `kind` keeps sources of different kinds apart.
    pub(super) fn new(kind: &str) -> Self {
        let mut fingerprint = Fingerprint(blake3::Hasher::new());
        fingerprint.text(kind);
        fingerprint
    }

    pub(super) fn text(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    pub(super) fn file(&mut self, byte_len: u64, modified_ns: i64) {
        self.0.update(&byte_len.to_le_bytes());
        self.0.update(&modified_ns.to_le_bytes());
    }

    /// Adds everything about an item except its bytes.
    pub(super) fn item(&mut self, item: &Item) {
        self.text(&item.path);
        self.text(item.split.map_or("", super::Split::name));
        self.text(item.label.as_deref().unwrap_or(""));
        self.origin(&item.origin);
    }

    /// Adds where a picture is, except its bytes.
    pub(super) fn origin(&mut self, origin: &Origin) {
        match origin {
            Origin::File { byte_len, modified_ns, .. } => self.file(*byte_len, *modified_ns),
            Origin::Part { place, byte_len } => self.file(*byte_len, place.file.modified_ns),
            Origin::Embedded { bytes, .. } => self.file(bytes.len() as u64, 0),
            Origin::Unreadable { detail } => self.text(detail),
        }
    }

    pub(super) fn finish(self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}
