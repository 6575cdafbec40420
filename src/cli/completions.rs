//! `completions`: scripts with which shells complete the command line.

use clap::builder::PossibleValuesParser;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::printer::Printer;
use super::{Cli, EXIT_CODES};
use crate::error::Result;

const LONG_ABOUT: &str = "\
Prints a script by which a shell completes verbs, options, their values and file names.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe completions bash > ~/.local/share/bash-completion/completions/microclip-pipe
  microclip-pipe completions zsh > ~/.zfunc/_microclip-pipe
      With `fpath+=~/.zfunc` in ~/.zshrc, before compinit.
  microclip-pipe completions fish > ~/.config/fish/completions/microclip-pipe.fish";

/// Print a script by which a shell completes the command line
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let (mut program, mut script) = (Cli::command(), Vec::new());
        let verbs: Vec<String> = program.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        program = program.mut_subcommand("help", |help| {
            help.mut_arg("verbs", |arg| arg.value_parser(PossibleValuesParser::new(verbs)))
        });
        generate(self.shell, &mut program, "microclip-pipe", &mut script);
        printer.result(&String::from_utf8_lossy(&script))
    }
}
