//! Results that do not fit the terminal go through `$PAGER`.

use std::io::Write;
use std::process::{Command, Stdio};

/// Where `PAGER` says nothing: wide tables are not folded, and what fits after all is just printed.
const LESS: &str = "less -SFRX";

/// Shows a text, through the pager where it is longer or wider than the terminal.
///
/// # Errors
/// Where the terminal cannot be written to.
pub(super) fn show(text: &str) -> std::io::Result<()> {
    let fits = rustix::termios::tcgetwinsize(std::io::stdout()).is_ok_and(|size| {
        let (rows, columns) = (usize::from(size.ws_row), usize::from(size.ws_col));
        text.lines().count() < rows && text.lines().all(|line| line.chars().count() <= columns)
    });
    if !fits && through_pager(text) {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Whether there is a pager that took it.
fn through_pager(text: &str) -> bool {
    let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    let pager = pager.unwrap_or_else(|| LESS.to_owned());
    let Ok(mut child) = Command::new("sh").arg("-c").arg(&pager).stdin(Stdio::piped()).spawn() else { return false };
    if let Some(mut pipe) = child.stdin.take() {
        // A pager that was left before the end has been read enough.
        let _ = pipe.write_all(text.as_bytes());
    }
    // 127 is the shell's word for a command that is not there.
    child.wait().is_ok_and(|status| status.code() != Some(127))
}
