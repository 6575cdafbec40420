//! `man`: the manual, as pages for man(1).

use std::path::PathBuf;

use clap::{Args, CommandFactory, ValueHint};
use clap_mangen::Man as Page;

use super::printer::Printer;
use super::{Cli, EXIT_CODES};
use crate::error::{Context, Kind, Result};

const LONG_ABOUT: &str = "\
Prints the manual page of the program, or writes one for it and for every verb into a folder.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe man | man -l -
  microclip-pipe man --output ~/.local/share/man/man1
      Then `man microclip-pipe-run` shows the page of `run`.";

/// Print the manual page, or write all of them into a folder
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Man {
    /// Write the pages of all verbs into this folder, and print their paths
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: Option<PathBuf>,
}

impl Man {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let mut program = Cli::command();
        // Gives verbs their full names and the options that every verb takes.
        program.build();
        let Some(folder) = &self.output else { return printer.result(&page(&program)?) };
        std::fs::create_dir_all(folder).at(Kind::System, "cannot make", folder)?;
        let mut written = Vec::new();
        let mut left = vec![&program];
        while let Some(command) = left.pop() {
            let path = folder.join(format!("{}.1", command.get_display_name().unwrap_or(command.get_name())));
            std::fs::write(&path, page(command)?).at(Kind::System, "cannot write", &path)?;
            written.push(path.display().to_string());
            // clap's own `help` below a verb with verbs has no page.
            let own = command.is_disable_help_subcommand_set();
            left.extend(command.get_subcommands().filter(|verb| own || verb.get_name() != "help"));
        }
        written.sort();
        printer.result(&written.join("\n"))
    }
}

fn page(command: &clap::Command) -> Result<String> {
    let mut page = Vec::new();
    Page::new(command.clone())
        .render(&mut page)
        .context(Kind::Internal, || "cannot make the manual page".to_owned())?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
