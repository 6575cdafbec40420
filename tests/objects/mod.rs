//! Pictures on stores of objects, by the real binary and a store on loopback.

mod failing;
mod fetching;
mod init;
mod models;
mod real;
mod results;
pub mod server;

use std::path::PathBuf;
use std::process::{Command, Output};

use self::server::Server;
use crate::pipeline::Pipeline;

/// A pipeline whose pictures lie in `s3://birds/pictures` alone.
struct OnStore {
    server: Server,
    pipeline: Pipeline,
}

impl OnStore {
    /// With two training pictures and a test picture of each of three classes.
    fn new() -> OnStore {
        let (server, pipeline) = (Server::start(), Pipeline::new(2, 1));
        server.put_folder("pictures", &pipeline.path("pictures"));
        std::fs::remove_dir_all(pipeline.path("pictures")).unwrap();
        pipeline.spec("small", "kind = \"folder\"\npath = \"s3://birds/pictures\"");
        OnStore { server, pipeline }
    }

    /// Puts the small CLIP there, beside what is no part of it, and names it by its address.
    fn put_model(&self) {
        put_model(&self.server);
        self.pipeline.set_model(MODEL);
    }

    fn cache(&self) -> PathBuf {
        self.pipeline.path("cache")
    }

    /// Where an object of the bucket lies once it is fetched from an address.
    fn fetched_from(&self, address: &str, key: &str) -> PathBuf {
        let id = blake3::hash(address.as_bytes()).to_hex();
        self.cache().join("objects/s3/birds").join(&id[..8]).join(key)
    }

    /// The same of the pictures' address.
    fn fetched(&self, key: &str) -> PathBuf {
        self.fetched_from("s3://birds/pictures", key)
    }

    fn command(&self, verb: &str, rest: &[&str]) -> Command {
        let mut command = self.pipeline.command(verb, rest);
        self.server.environment(&mut command, &self.cache());
        command
    }

    fn output(&self, verb: &str, rest: &[&str]) -> Output {
        self.command(verb, rest).output().unwrap()
    }

    fn ok(&self, verb: &str, rest: &[&str]) -> String {
        ok(&self.output(verb, rest))
    }

    /// Ingests, and counts pictures by class and split.
    fn ingested(&self) -> String {
        self.ok("ingest", &[]);
        let sql = "SELECT c.name, i.split, count(*) AS n FROM images i JOIN labels l USING (image_id) \
                   JOIN classes c ON c.class_id = l.class_id GROUP BY 1, 2 ORDER BY 1, 2";
        self.ok("sql", &[sql, "--format", "csv"])
    }

    /// What a refused verb says, with its exit code.
    #[track_caller]
    fn refused(&self, verb: &str) -> String {
        let output = self.output(verb, &[]);
        let folder = self.pipeline.folder.path();
        let said = said(&output).replace(&self.server.address(), "STORE").replace(folder.to_str().unwrap(), "DIR");
        // How long it took is another number each time.
        let lines = said.lines().filter(|line| !line.trim_start().starts_with("fetch "));
        format!("{}\nexit code {}", lines.collect::<Vec<_>>().join("\n"), output.status.code().unwrap())
    }
}

/// Where a model lies.
pub const MODEL: &str = "s3://birds/models/flora";

/// Puts the small CLIP at [`MODEL`], beside what is no part of it.
pub fn put_model(server: &Server) {
    server.put_folder("models/flora", &PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora"));
    for other in ["pytorch_model.bin", "README.md", "onnx/model.onnx", "older/model.safetensors"] {
        server.put(&format!("models/flora/{other}"), *b"of no use");
    }
}

/// What a command that must succeed wrote.
#[track_caller]
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
