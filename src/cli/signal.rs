//! Ctrl-C and SIGTERM: the first asks the run to stop at its next safe point, the second ends the
//! process.

use std::io::Write;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Context, Kind, Result};
use crate::stage::progress::Progress;
use crate::stop::Stop;

const STOPPING: &str = "stopping after the part in hand; press Ctrl-C again to stop at once";

/// Listens from now on, on a separate thread, since the stages may keep every thread of the runtime
/// busy.
///
/// # Errors
/// Returns [`Kind::System`] if the operating system refuses a thread or a handler.
pub fn watch(stop: Stop, progress: Arc<dyn Progress>) -> Result<()> {
    watch_saying(STOPPING, stop, progress)
}

/// Listens like [`watch`], on behalf of what says this as it stops.
pub(super) fn watch_saying(stopping: &'static str, stop: Stop, progress: Arc<dyn Progress>) -> Result<()> {
    let refused = || "cannot listen for Ctrl-C".to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context(Kind::System, refused)?;
    let (interrupt, terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    };
    let mut interrupt = interrupt.context(Kind::System, refused)?;
    let mut terminate = terminate.context(Kind::System, refused)?;
    let listen = async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.requested() {
                end_now();
            }
            stop.request();
            progress.say(stopping);
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(listen))
        .context(Kind::System, refused)?;
    Ok(())
}

/// Ends the process without running destructors: those of libtorch must not run while its threads
/// compute. Parts on disk are complete or absent at any moment, so only the current part is lost.
fn end_now() -> ! {
    let _ = writeln!(std::io::stderr(), "stopped at once; the part in hand is lost, what was finished is kept");
    leave(Kind::Interrupted.exit_code())
}

/// Ends the process, as [`end_now`] does.
pub(super) fn leave(code: u8) -> ! {
    // SAFETY: POSIX's `_exit` takes any status, touches no memory of ours and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}
