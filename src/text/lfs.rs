//! Pointers that a clone of Git LFS holds in place of files that were not fetched.

/// How a pointer begins, whichever version of the specification it follows.
pub(crate) const BEGIN: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Returns whether a file is a pointer and not the file itself, by its first bytes.
pub(crate) fn is_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(BEGIN)
}
