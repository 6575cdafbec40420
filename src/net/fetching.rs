//! What of a place elsewhere is to be fetched, and how far fetching it is.

/// Receives how far fetching is.
pub trait Watch {
    /// Begins to fetch what makes `bytes` bytes.
    fn begin(&self, bytes: u64);
    /// Reports that further bytes have come, or were there.
    fn advance(&self, bytes: u64);
    /// Ends; `note` is the outcome in words.
    fn end(&self, note: &str);
    /// Shows a line that must be seen.
    fn say(&self, line: &str);
}

/// What is to be fetched of some files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The bytes of files that are there.
    pub there: u64,
}

impl Missing {
    /// Counts a file of so many bytes.
    pub fn count(&mut self, bytes: u64, is_there: bool) {
        if is_there {
            self.there += bytes;
        } else {
            self.files += 1;
            self.bytes += bytes;
        }
    }
}
