//! Models and data sets of the Hugging Face Hub, by the real binary and a hub on loopback.

mod conversion;
mod data_sets;
mod failing;
mod fetching;
mod init;
mod names;
mod python;
pub mod server;
mod together;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use self::server::Server;
use crate::pipeline::Pipeline;

/// The folder of a small CLIP.
fn clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora")
}

/// A pipeline whose model is `tiny/clip` on a hub of its own.
struct OnHub {
    server: Server,
    pipeline: Pipeline,
}

impl OnHub {
    fn new() -> OnHub {
        let (server, pipeline) = (Server::start(), Pipeline::new(2, 1));
        server.model("tiny/clip", &clip());
        let on_hub = OnHub { server, pipeline };
        on_hub.name("tiny/clip");
        on_hub
    }

    /// Lets the pipeline file name this model.
    fn name(&self, model: &str) {
        self.pipeline.spec("small", "kind = \"folder\"\npath = \"pictures\"");
        let file = self.pipeline.path("pipeline.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, text.replace(clip().to_str().unwrap(), model)).unwrap();
    }

    fn home(&self) -> PathBuf {
        self.pipeline.path("home")
    }

    /// What the cache has of the model.
    fn cached(&self, path: &str) -> PathBuf {
        self.home().join("hub/models--tiny--clip").join(path)
    }

    /// A verb on the pipeline.
    fn command(&self, verb: &str, rest: &[&str]) -> Command {
        let mut command = self.pipeline.command(verb, rest);
        self.server.environment(&mut command, &self.home());
        command
    }

    /// A verb that needs no pipeline.
    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
        command.args(arguments).current_dir(self.pipeline.folder.path()).env("NO_COLOR", "1").stdin(Stdio::null());
        self.server.environment(&mut command, &self.home());
        command
    }

    fn pull(&self) -> Output {
        self.pull_with(&[])
    }

    fn pull_with(&self, variables: &[(&str, &str)]) -> Output {
        self.program(&["model", "pull", "tiny/clip"]).envs(variables.iter().copied()).output().unwrap()
    }

    /// What a refused command says, with its exit code.
    #[track_caller]
    fn refused(&self, command: &mut Command) -> String {
        let output = command.output().unwrap();
        let home = self.pipeline.folder.path().canonicalize().unwrap();
        let said = self.server.shown(&output.stderr).replace(home.to_str().unwrap(), "DIR");
        let said = said.replace(self.pipeline.folder.path().to_str().unwrap(), "DIR");
        format!("{said}exit code {}", output.status.code().unwrap())
    }
}

/// What a command that must succeed wrote.
#[track_caller]
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
