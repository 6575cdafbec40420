//! `help`: the manual page of a verb, as its `--help` prints it.

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser};

use super::{Cli, EXIT_CODES};

const LONG_ABOUT: &str = "\
Prints the manual page of a verb, as VERB --help does; without a verb, the page of the program.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe help run
  microclip-pipe help cache verify";

/// Print the manual page of a verb
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Help {
    /// The verb, and the verb below it if it has some
    #[arg(value_name = "VERB")]
    verbs: Vec<String>,
}

impl Help {
    /// Parses the line that asks for the page, so that the parser prints it, or says which verb may
    /// have been meant.
    pub(super) fn page(&self) -> clap::error::Result<Cli> {
        let mut program = Cli::command();
        program.build();
        let mut command = &mut program;
        for verb in &self.verbs {
            if !command.has_subcommands() {
                let what = format!("'{}' has no verb '{}'", command.get_name(), verb.escape_debug());
                return Err(command.error(ErrorKind::InvalidSubcommand, what));
            }
            match command.find_subcommand_mut(verb) {
                Some(below) => command = below,
                None => break,
            }
        }
        let program = std::iter::once("microclip-pipe");
        Cli::try_parse_from(program.chain(self.verbs.iter().map(String::as_str)).chain(["--help"]))
    }
}
