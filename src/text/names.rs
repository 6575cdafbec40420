//! Class names as people and data sets spell them: with underscores or spaces, in any case.

/// Returns the form in which two spellings of a class name are the same: in lower case, with spaces
/// for underscores, and without spaces around.
pub(crate) fn plain(name: &str) -> String {
    name.to_lowercase().replace('_', " ").trim().to_owned()
}
