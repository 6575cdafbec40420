//! Shows a page in the user's browser.

use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::printer::Printer;
use crate::net::escaped;
use crate::text::shell;

/// Browsers that draw into the terminal, which is theirs until they end.
const IN_TERMINAL: [&str; 7] = ["www-browser", "links", "elinks", "lynx", "w3m", "browsh", "carbonyl"];

/// How long a program is watched that may fail at once: one that runs on has the page.
const WATCHED: Duration = Duration::from_secs(2);

/// Opens a page with the programs that `BROWSER` names, or else with the one that the desktop has
/// for it. Where there is none, as on a server, notes what was tried: the page was written all the
/// same.
pub(super) fn open(page: &Path, printer: &Printer) {
    let mut tried = Vec::new();
    let named = std::env::var("BROWSER").unwrap_or_default();
    for command in named.split(':').map(str::trim).filter(|command| !command.is_empty()) {
        match start(command, &address(page)) {
            Ok(()) => return,
            Err(why) => tried.push(format!("{command} of BROWSER {why}")),
        }
    }
    if let Err(error) = open::that_detached(page) {
        let programs: Vec<String> =
            open::commands(page).iter().map(|command| command.get_program().to_string_lossy().into_owned()).collect();
        // Of a program that failed, the error has no more than Rust's way to write that.
        let why = error.raw_os_error().map(|code| format!(": {}", io::Error::from_raw_os_error(code)));
        tried.push(format!("of {} none showed it{}", programs.join(", "), why.unwrap_or_default()));
        printer.note(&format!(
            "no browser could be started ({}): open {} in one, or name one in the variable BROWSER",
            tried.join("; "),
            page.display()
        ));
    }
}

/// Starts a command of `BROWSER` as `webbrowser` of Python does: its words are split as by a shell,
/// but no shell runs them; `%s` in any of them is the address, which otherwise comes last, and an
/// `&` at the end changes nothing, since nobody waits for a window.
///
/// # Errors
/// Returns what became of it, as the end of a sentence.
fn start(command: &str, address: &str) -> Result<(), String> {
    let command = command.trim_end_matches(['&', ' ']);
    let words = shell::words(command).ok_or("has a quote that does not end")?;
    let Some((program, arguments)) = words.split_first() else { return Err("is no program".to_owned()) };
    let in_terminal = Path::new(program).file_name().is_some_and(|name| IN_TERMINAL.iter().any(|known| name == *known));
    let mut browser = Command::new(program);
    browser.args(arguments.iter().map(|word| word.replace("%s", address)));
    if !arguments.iter().any(|word| word.contains("%s")) {
        browser.arg(address);
    }
    if !in_terminal {
        // Ctrl-C at the terminal is not meant for it.
        browser.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    }
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied => "is no program".to_owned(),
        _ => format!("could not be started: {error}"),
    };
    let mut child = browser.spawn().map_err(failed)?;
    let deadline = Instant::now() + WATCHED;
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("failed ({status})")),
            None if !in_terminal && Instant::now() > deadline => return Ok(()),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Returns the address of a page on this machine.
fn address(page: &Path) -> String {
    let whole = std::path::absolute(page).unwrap_or_else(|_| page.to_owned());
    match whole.to_str() {
        Some(text) => format!("file://{}", text.split('/').map(escaped).collect::<Vec<_>>().join("/")),
        None => whole.display().to_string(),
    }
}
