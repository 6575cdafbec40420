//! The program: parse, dispatch, exit code.

use std::process::ExitCode;

use clap::Parser;
use microclip_pipe::cli::{Cli, panics};

fn main() -> ExitCode {
    panics::install();
    Cli::parse().execute()
}
