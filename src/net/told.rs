//! What a server tells of itself.

use crate::error::Result;

/// Whoever a server tells of itself.
pub trait Told: Send + Sync + 'static {
    /// Says where it listens, a line each, from now on.
    ///
    /// # Errors
    /// Fails if nobody can be told.
    fn listens(&self, addresses: &[String]) -> Result<()>;

    /// Says something that is worth knowing.
    fn note(&self, text: &str);
}
