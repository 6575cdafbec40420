//! Shows a page in the user's browser.

use std::path::Path;

use super::printer::Printer;

/// Opens a page with the program that the desktop has for it, and does not wait for that. Where
/// there is none, as on a server, notes so: the page was written all the same.
pub(super) fn open(page: &Path, printer: &Printer) {
    if let Err(error) = open::that_detached(page) {
        printer.note(&format!("no browser could be started ({error}): open {} in one", page.display()));
    }
}
