//! What every stage works with, besides what it reads and writes.

use std::sync::Arc;

use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::layout::Store;

/// The store that a stage works on, what asks it to stop, and what it tells how far it is.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// Where the tables are.
    pub store: &'a Store,
    /// Asks to stop.
    pub stop: &'a Stop,
    /// Is told how far the work is.
    pub progress: &'a Arc<dyn Progress>,
}
