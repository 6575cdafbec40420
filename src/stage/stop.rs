//! Asking a running pipeline to stop: it finishes the part in hand, and nothing that was computed is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Kind, Result};

/// A flag shared by the signal handler and every stage.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks every stage to stop at its next safe point.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether stopping was asked for.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Called at a safe point.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] where stopping was asked for.
    pub fn check(&self) -> Result<()> {
        if self.requested() {
            return Err(Error::new(Kind::Interrupted, "stopped on request; everything computed so far is kept")
                .hint("run the same command again to go on from here"));
        }
        Ok(())
    }
}
