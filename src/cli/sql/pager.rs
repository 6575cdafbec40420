//! Results that do not fit the terminal go through `$PAGER`.

use std::io::Write;
use std::process::{Command, Stdio};

/// The pager if `PAGER` is not set: wide tables are not folded, and what fits after all is just
/// printed.
const LESS: &str = "less -SFRX";

/// Shows a text, through the pager if it is longer or wider than the terminal.
///
/// # Errors
/// Fails if the terminal cannot be written to.
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

/// Shows a text through the pager, and returns whether there was one.
fn through_pager(text: &str) -> bool {
    let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    let pager = pager.unwrap_or_else(|| LESS.to_owned());
    let Ok(mut child) = Command::new("sh").arg("-c").arg(&pager).stdin(Stdio::piped()).spawn() else { return false };
    if let Some(mut pipe) = child.stdin.take() {
        // The user may have left the pager before the end.
        let _ = pipe.write_all(text.as_bytes());
    }
    // 127 is the shell's status for a command that was not found.
    child.wait().is_ok_and(|status| status.code() != Some(127))
}
