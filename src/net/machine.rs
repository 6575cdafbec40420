//! What this machine is called among others, and what tells apart what it makes.

use std::fs;

use crate::error::{Context, Kind, Result};

/// Returns the machine's name; empty if it has none.
pub(crate) fn machine() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Returns letters and digits that nobody else has and nobody can guess, of so many random bytes.
///
/// # Errors
/// Returns [`Kind::System`] if the system gives no random numbers.
pub(crate) fn random(bytes: usize) -> Result<String> {
    let mut found = vec![0; bytes];
    getrandom::fill(&mut found).context(Kind::System, || "the system gives no random numbers".to_owned())?;
    Ok(found.iter().map(|byte| format!("{byte:02x}")).collect())
}
