//! Ctrl-C while a statement runs: it ends the statement, and not the shell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Context, Kind, Result};

/// Whether somebody pressed Ctrl-C.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupts(Arc<AtomicBool>);

impl Interrupts {
    /// Nobody is listened to: Ctrl-C ends the process.
    pub(super) fn none() -> Self {
        Interrupts::default()
    }

    /// Listens from now on, on a thread of its own.
    ///
    /// # Errors
    /// [`Kind::Query`] where the operating system refuses a thread or a handler.
    pub(super) fn watch() -> Result<Self> {
        let refused = || "cannot listen for Ctrl-C".to_owned();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().context(Kind::Query, refused)?;
        let mut interrupt = {
            let _entered = runtime.enter();
            signal(SignalKind::interrupt()).context(Kind::Query, refused)?
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
            .context(Kind::Query, refused)?;
        Ok(interrupts)
    }

    /// Whether Ctrl-C was pressed since [`Interrupts::forget`].
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// What was pressed before is of no account any more.
    pub(super) fn forget(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
