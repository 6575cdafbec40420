//! The shell that `sql` opens on a terminal: statements over several lines, commands, history,
//! completion.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::execution::context::SessionContext;
use futures::future::{Abortable, Aborted};
use liner::Prompt;

use super::commands::{COMMANDS, Command, read};
use super::complete::{self, Words};
use super::elsewhere::{Choice, Elsewhere, written};
use super::interrupts::Interrupts;
use super::limits::within;
use super::pager;
use super::split::{Split, split};
use crate::cli::align::{Side, align};
use crate::cli::output::Target;
use crate::cli::printer::Printer;
use crate::cli::{common, schema};
use crate::config::Spec;
use crate::error::{Context, Error, Kind, Result};
use crate::runs::sql_scope::{SqlScope, scope};
use crate::stop::Stop;
use crate::table::format::Format;
use crate::table::kept_logits::removed_logits;
use crate::table::names::names;
use crate::table::{query, session_within, warnings};
use crate::text::numbers::counted;

/// What a statement may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Memory, in bytes.
    pub(super) memory: u64,
    pub(super) time: Duration,
}

/// An open shell.
pub(super) struct Shell<'a> {
    spec: &'a Spec,
    limits: Limits,
    printer: Printer,
    session: SessionContext,
    words: Words,
    choice: &'a Choice,
    elsewhere: Option<Arc<Elsewhere>>,
    interrupts: Interrupts,
    format: Format,
    /// The file that rows go to instead of the terminal.
    output: Option<PathBuf>,
    timing: bool,
}

/// Whether to read another line.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Leave,
}

impl<'a> Shell<'a> {
    /// Opens the tables, and listens for Ctrl-C from now on.
    pub(super) fn open(
        spec: &'a Spec,
        limits: Limits,
        choice: &'a Choice,
        format: Format,
        printer: &Printer,
    ) -> Result<Self> {
        let (session, words, elsewhere) = tables(spec, limits, choice, printer)?;
        let interrupts = Interrupts::watch()?;
        let printer = *printer;
        Ok(Shell {
            spec,
            limits,
            printer,
            session,
            words,
            choice,
            elsewhere,
            interrupts,
            format,
            output: None,
            timing: false,
        })
    }

    /// Reads and answers statements until the user leaves.
    pub(super) fn converse(mut self) -> Result<()> {
        self.printer.note(&format!("pipeline {}: SQL up to a `;`, or \\? for help, \\q to leave", self.spec.name));
        let mut editor = liner::Context::new();
        editor.word_divider_fn = Box::new(complete::words);
        if let Err(error) = history(&mut editor) {
            self.printer.note(&format!("warning: no history is kept: {error}"));
        }
        let mut begun = String::new();
        loop {
            let sign = if begun.is_empty() { '=' } else { '-' };
            let prompt = Prompt::from(format!("{}{sign}> ", self.spec.name));
            let line = match editor.read_line(prompt, None, &mut self.words) {
                Ok(line) => line,
                // Ctrl-C discards the statement that was begun, not the shell.
                Err(e) if e.kind() == ErrorKind::Interrupted => {
                    begun.clear();
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(e) => return Err(e).context(Kind::System, || "cannot read from the terminal".to_owned()),
            };
            if begun.is_empty() && line.trim_start().starts_with('\\') {
                remember(&mut editor, line.trim());
                let done = read(&line).and_then(|command| self.command(command));
                match done {
                    Ok(Next::Leave) => return Ok(()),
                    Ok(Next::Go) => {}
                    Err(error) => self.printer.error(&error),
                }
                continue;
            }
            begun.push_str(&line);
            begun.push('\n');
            let Split { statements, rest } = split(&begun);
            for statement in statements {
                remember(&mut editor, &format!("{statement};"));
                if let Err(error) = self.statement(&statement) {
                    self.printer.error(&error);
                    break;
                }
            }
            begun = if rest.is_empty() { rest } else { rest + "\n" };
        }
    }

    fn command(&mut self, command: Command) -> Result<Next> {
        match command {
            Command::Quit => return Ok(Next::Leave),
            Command::Help => self.shown(&help())?,
            Command::Describe(None) => self.shown(&schema::list())?,
            Command::Describe(Some(table)) => {
                let name = table.strip_prefix("all_runs.").unwrap_or(&table);
                self.shown(&schema::about(name)?)?;
            }
            Command::Timing => {
                self.timing = !self.timing;
                self.printer.note(if self.timing { "timing is on" } else { "timing is off" });
            }
            Command::Format(format) => self.format = format,
            Command::Output(None) => self.output = None,
            Command::Output(Some(file)) => self.redirect(PathBuf::from(file))?,
            Command::Refresh => {
                (self.session, self.words, self.elsewhere) =
                    tables(self.spec, self.limits, self.choice, &self.printer)?;
            }
        }
        Ok(Next::Go)
    }

    /// Sends rows to this file from now on, and empties it.
    pub(super) fn redirect(&mut self, file: PathBuf) -> Result<()> {
        std::fs::write(&file, "").at(Kind::System, "cannot write", &file)?;
        self.output = Some(file);
        Ok(())
    }

    fn shown(&self, text: &str) -> Result<()> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        pager::show(&format!("{text}{end}")).context(Kind::System, || "cannot write to the terminal".to_owned())
    }

    /// Runs one statement; a table is shown at the end, other forms as rows come.
    fn statement(&self, statement: &str) -> Result<()> {
        let began = Instant::now();
        self.interrupts.forget();
        let (session, format, elsewhere) = (self.session.clone(), self.format, self.elsewhere.clone());
        let (statement, output) = (statement.to_owned(), self.output.clone());
        let (rows, drawn, note) =
            within(self.limits.time, &self.interrupts, self.choice.end(), move |stopped, stop| {
                // A runtime for this statement alone: the threads of an abandoned one may be busy
                // until it next yields.
                let runtime = common::runtime()?;
                let work = Abortable::new(
                    answer(&session, elsewhere.as_deref(), &statement, &stop, format, output.as_deref()),
                    stopped,
                );
                let answered = runtime.block_on(async { Ok(work.await) })?;
                runtime.shutdown_background();
                answered.unwrap_or_else(|Aborted| Err(Error::new(Kind::Interrupted, "the statement was interrupted")))
            })?;
        pager::show(&drawn).context(Kind::System, || "cannot write to the terminal".to_owned())?;
        note.iter().for_each(|note| self.printer.note(&format!("warning: {note}")));
        let rows = counted(rows, "row");
        let time = began.elapsed().as_secs_f64();
        self.printer.note(&if self.timing { format!("{rows}, {time:.3} s") } else { rows });
        Ok(())
    }
}

/// Writes the rows of a statement, and returns their number, what is still to be shown, and a note
/// about rows that were removed.
async fn answer(
    session: &SessionContext,
    elsewhere: Option<&Elsewhere>,
    statement: &str,
    stop: &Stop,
    format: Format,
    output: Option<&Path>,
) -> Result<(u64, String, Option<String>)> {
    let found = query(session, statement).await?;
    let note = removed_logits(session, &found).await?;
    if let Some(path) = output {
        let mut file =
            OpenOptions::new().create(true).append(true).open(path).at(Kind::System, "cannot write", path)?;
        let rows = written(elsewhere, statement, found, stop, format, &mut file).await?;
        file.flush().at(Kind::System, "cannot write", path)?;
        return Ok((rows, String::new(), note));
    }
    if format == Format::Table {
        let mut drawn = Vec::new();
        let rows = written(elsewhere, statement, found, stop, format, &mut drawn).await?;
        return Ok((rows, String::from_utf8_lossy(&drawn).into_owned(), note));
    }
    let mut target = Target::open(None)?;
    let rows = written(elsewhere, statement, found, stop, format, &mut target).await?;
    target.finish()?;
    Ok((rows, String::new(), note))
}

/// What is open of a store: what answers statements here, what completes them, and what has a
/// cluster answer them.
type Opened = (SessionContext, Words, Option<Arc<Elsewhere>>);

/// Opens what the store holds now.
fn tables(spec: &Spec, limits: Limits, choice: &Choice, printer: &Printer) -> Result<Opened> {
    let scope = scope(spec)?;
    let elsewhere = choice.elsewhere(&scope, printer)?.map(Arc::new);
    let SqlScope { store, visible, notes } = scope;
    let (session, names) = common::runtime()?.block_on(async {
        let session = session_within(limits.memory, &store, &visible).await?;
        let names = names(&session).await;
        Ok::<_, Error>((session, names))
    })?;
    notes.iter().chain(&warnings(&session)).for_each(|warning| printer.note(&format!("warning: {warning}")));
    Ok((session, Words::new(names), elsewhere))
}

fn help() -> String {
    let lines = COMMANDS.map(|(name, rest, about)| vec![format!("{name} {rest}"), about.to_owned()]);
    let commands = align(&[Side::Left, Side::Left], &lines);
    format!(
        "Statements may take several lines and end with `;`. They only read: SELECT, WITH, EXPLAIN, SHOW, DESCRIBE.\n\
         Tab completes, the arrows and Ctrl-R look through history, Ctrl-C ends a statement.\n\n{commands}"
    )
}

/// Keeps history from one shell to the next, in a file that only its user can read.
fn history(editor: &mut liner::Context) -> std::io::Result<()> {
    let Some(folder) = state_folder() else { return Err(std::io::Error::other("HOME is not set")) };
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("sql_history");
    OpenOptions::new().create(true).append(true).mode(0o600).open(&file)?;
    editor.history.set_file_name_and_load_history(&file)?;
    editor.history.inc_append = true;
    Ok(())
}

/// Returns this program's state folder, by the XDG base directories.
fn state_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("microclip-pipe"))
}

/// Adds a text to the history, joined to one line. Lines with a comment are kept apart, since
/// joining them would change what they say.
fn remember(editor: &mut liner::Context, text: &str) {
    let entries: Vec<String> = match text.contains("--") {
        true => text.lines().map(str::to_owned).collect(),
        false => vec![text.lines().map(str::trim).collect::<Vec<_>>().join(" ")],
    };
    for entry in entries {
        // History is a convenience, so a failure to write it is ignored.
        let _ = editor.history.push(entry.into());
    }
}
