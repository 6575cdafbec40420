//! The program: parse, dispatch, exit code.

use std::process::ExitCode;

use microclip_pipe::cli::{Cli, panics};

fn main() -> ExitCode {
    panics::install();
    match Cli::from_command_line() {
        Ok(cli) => cli.execute(),
        Err(code) => code,
    }
}
