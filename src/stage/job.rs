//! What every stage needs besides its inputs and outputs.

use std::sync::Arc;

use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::layout::Store;

/// The store that a stage works on, the stop request and the progress.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// Where the tables are.
    pub store: &'a Store,
    /// Tells whether to stop.
    pub stop: &'a Stop,
    /// Receives the stage's progress.
    pub progress: &'a Arc<dyn Progress>,
}
