//! Reports panics: bugs of this program, or exceptions of libtorch that nothing caught. The user
//! gets one line and what to report, not a back-trace.

use std::panic::{PanicHookInfo, set_hook};
use std::sync::atomic::{AtomicBool, Ordering};

use super::printer::Printer;
use crate::error::{Error, Kind};
use crate::panics;

/// Replaces Rust's message about a panic. `RUST_BACKTRACE=1` brings it back, to look for the cause.
pub fn install() {
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
        return;
    }
    static SAID: AtomicBool = AtomicBool::new(false);
    set_hook(Box::new(|info| {
        if panics::is_expected() {
            return;
        }
        // One cause often makes several threads panic; the first is the one to read.
        if !SAID.swap(true, Ordering::SeqCst) {
            Printer::current().error(&error(&message(info), info.location().map(ToString::to_string)));
        }
    }));
}

fn message(info: &PanicHookInfo<'_>) -> String {
    info.payload_as_str().unwrap_or("no message").to_owned()
}

fn error(message: &str, place: Option<String>) -> Error {
    let place = place.map(|place| format!(" (at {place})")).unwrap_or_default();
    let what = format!("internal error: {}{place}", first_line(message));
    if message.contains("out of memory") || message.contains("can't allocate memory") {
        let hint = "memory ran out: lower embed.batch or adapt.batch, e.g. --set adapt.batch=16";
        return Error::new(Kind::Torch, what).hint(hint);
    }
    Error::new(Kind::Internal, what)
}

/// Returns the first line of a message, without Rust's and C++'s wrapping around it.
fn first_line(message: &str) -> String {
    const LONGEST: usize = 400;
    // `unwrap` shows the Debug form of libtorch's message, in which line breaks are written as
    // `\n`.
    let inner = message.split_once("Torch(\"").map_or(message, |(_, inner)| inner);
    let end = inner.find(['\n']).into_iter().chain(inner.find("\\n")).min().unwrap_or(inner.len());
    inner[..end].chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torch_exception_is_one_line() {
        let message = "called `Result::unwrap()` on an `Err` value: Torch(\"mat1 and mat2 shapes cannot be \
                       multiplied (2x3 and 4x5)\\nException raised from meta at linear.cpp:1\\nframe #0: c10\")";
        let error = error(message, Some("src/a.rs:3:4".into()));
        assert_eq!(
            error.to_string(),
            "internal error: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5) (at src/a.rs:3:4)"
        );
        assert!(error.hint_text().is_some_and(|hint| hint.contains("report")));
    }

    #[test]
    fn running_out_of_memory_has_a_hint_of_its_own() {
        let error = error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.", None);
        assert!(error.hint_text().is_some_and(|hint| hint.contains("adapt.batch")));
    }
}
