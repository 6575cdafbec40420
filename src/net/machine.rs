//! What this machine is called among others.

use std::fs;

/// Returns the machine's name; empty if it has none.
pub(crate) fn machine() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
