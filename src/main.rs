//! The program: parse, dispatch, exit code.

use std::process::ExitCode;

use microclip_pipe::cli::{Cli, panics};
use microclip_pipe::device;
use microclip_pipe::store::open_files;

/// Whatever this process allocates, tensors included: libtorch's calls of `malloc` and
/// `posix_memalign` end here, too, since the program exports those names. A run makes and drops
/// tables and tensors of a few sizes all the time, and glibc's heap (2.36 was measured) had ever
/// more holes from them: it grew by 3 to 4 kB a picture in a pass over 1,000 classes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    open_files::allow_all();
    device::prefer_flash_attention();
    panics::install();
    match Cli::from_command_line() {
        Ok(cli) => cli.execute(),
        Err(code) => code,
    }
}
