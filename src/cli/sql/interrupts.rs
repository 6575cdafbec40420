//! Ctrl-C while a statement runs: it ends the statement, not the shell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Context, Kind, Result};

/// Whether Ctrl-C was pressed.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupts(Arc<AtomicBool>);

impl Interrupts {
    /// Listens to nothing: Ctrl-C ends the process.
    pub(super) fn none() -> Self {
        Interrupts::default()
    }

    /// Listens from now on, on a separate thread.
    ///
    /// # Errors
    /// Returns [`Kind::System`] if the operating system refuses a thread or a handler.
    pub(super) fn watch() -> Result<Self> {
        let refused = || "cannot listen for Ctrl-C".to_owned();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().context(Kind::System, refused)?;
        let mut interrupt = {
            let _entered = runtime.enter();
            signal(SignalKind::interrupt()).context(Kind::System, refused)?
        };
        let interrupts = Interrupts::default();
        let pressed = interrupts.clone();
        let listen = async move {
            while interrupt.recv().await.is_some() {
                pressed.0.store(true, Ordering::SeqCst);
            }
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(listen))
            .context(Kind::System, refused)?;
        Ok(interrupts)
    }

    /// Returns whether Ctrl-C was pressed since [`Interrupts::forget`].
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Forgets that it was pressed before.
    pub(super) fn forget(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
