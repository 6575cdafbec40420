//! What is worth doing next: each command stands on a line of its own, so that it can be copied.

use super::printer::Printer;
use crate::runs::next_steps::NextStep;

/// Shows commands, and why each.
pub(super) fn say(first: &str, steps: &[NextStep], printer: &Printer) {
    printer.note(&format!("\n{first}:"));
    for NextStep { why, command } in steps {
        printer.note(&format!("  {command}\n      {why}"));
    }
}
