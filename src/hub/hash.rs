//! The hashes by which the hub names files.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::listing::Listed;

/// The hash of a file's bytes, in the making.
pub(super) enum Hash {
    /// Of a large file, which LFS keeps.
    Sha256(Sha256),
    /// Of a small one, as Git hashes it: after its kind and length.
    Git(Sha1),
}

impl Hash {
    /// Returns the hash of no bytes yet, of the kind by which a file is named.
    pub(super) fn of(listed: &Listed) -> Hash {
        match listed.sha256() {
            Some(_) => Hash::Sha256(Sha256::new()),
            None => Hash::Git(Sha1::new_with_prefix(format!("blob {}\0", listed.bytes()))),
        }
    }

    /// Adds bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Git(hash) => hash.update(bytes),
        }
    }

    /// Returns the hash in digits.
    pub(super) fn finish(self) -> String {
        match self {
            Hash::Sha256(hash) => format!("{:x}", hash.finalize()),
            Hash::Git(hash) => format!("{:x}", hash.finalize()),
        }
    }
}
