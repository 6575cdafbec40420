//! The program: parse, dispatch, exit code.

use std::process::ExitCode;

use microclip_pipe::cli::{Cli, panics};
use microclip_pipe::store::open_files;
use microclip_pipe::{device, memory};

fn main() -> ExitCode {
    memory::keep_what_is_given_back();
    open_files::allow_all();
    device::prefer_flash_attention();
    panics::install();
    match Cli::from_command_line() {
        Ok(cli) => cli.execute(),
        Err(code) => code,
    }
}
