//! The archive's program: becomes the real one, with the libraries beside it and none of the
//! system's. It is linked statically, so that it starts where there is no C library at all.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            eprintln!("error: /proc/self/exe: {error}\nhint: mount /proc: libtorch asks it which processor this is");
            return ExitCode::FAILURE;
        }
    };
    let libraries = program.with_file_name("lib");
    // The dynamic loader, under the program's name so that `ps` and `top` show that.
    let loader = libraries.join("microclip-pipe");
    let mut command = Command::new(&loader);
    command.arg("--library-path").arg(&libraries).arg("--argv0").arg("microclip-pipe");
    let error = command.arg(libraries.join("program")).args(std::env::args_os().skip(1)).exec();
    eprintln!(
        "error: {}: {error}\nhint: unpack the whole archive: this file needs the folder lib beside it",
        loader.display()
    );
    ExitCode::FAILURE
}
