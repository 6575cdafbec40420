//! A small pipeline in a temporary folder, and the real binary on it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// Classes of the small dataset; each has pictures of one colour and pattern.
pub const CLASSES: [&str; 3] = ["blue bell", "red rose", "white lily"];

/// A folder with pictures, sentences and a pipeline file.
pub struct Pipeline {
    pub folder: TempDir,
}

impl Pipeline {
    /// `train` and `test` pictures of each class, in a subfolder per class.
    pub fn new(train: u32, test: u32) -> Self {
        let pipeline = Pipeline { folder: tempfile::tempdir().unwrap() };
        for (class, name) in CLASSES.iter().enumerate() {
            for (split, count, first) in [("train", train, 0), ("test", test, 1000)] {
                for n in first..first + count {
                    let path = format!("pictures/{split}/{}/{n:04}.png", name.replace(' ', "_"));
                    pipeline.picture(&path, class as u32, n);
                }
            }
        }
        let sentences: Vec<String> = CLASSES
            .iter()
            .map(|name| format!("\"{name}\": [\"a {name} has five petals.\", \"the {name} is a flower.\"]"))
            .collect();
        pipeline.write("sentences.json", &format!("{{{}}}", sentences.join(", ")));
        pipeline.spec("small", "kind = \"folder\"\npath = \"pictures\"");
        pipeline
    }

    /// Writes `pipeline.toml` with this `[dataset]`.
    pub fn spec(&self, name: &str, dataset: &str) {
        let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora");
        let text = format!(
            "name = \"{name}\"\nstore = \"store\"\n[dataset]\n{dataset}\n[model]\npath = {model:?}\n\
             [text]\ndescriptions = \"sentences.json\"\n[embed]\nbatch = 4\npart_rows = 8\n[views]\ncount = 2\n\
             [adapt]\nrecipe = \"paper\"\nepochs = 3\nbatch = 4\n[device]\nkind = \"cpu\"\nthreads = 1\n"
        );
        self.write("pipeline.toml", &text);
    }

    /// Names another model than the small CLIP.
    pub fn set_model(&self, path: &str) {
        self.replace(concat!(env!("CARGO_MANIFEST_DIR"), "/data/clip-flora"), path);
    }

    /// Replaces a text of the pipeline file.
    pub fn replace(&self, text: &str, by: &str) {
        let written = std::fs::read_to_string(self.path("pipeline.toml")).unwrap();
        assert!(written.contains(text), "{written}");
        self.write("pipeline.toml", &written.replace(text, by));
    }

    /// A picture that is the same for the same numbers.
    pub fn picture(&self, path: &str, class: u32, n: u32) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let tone = [[40, 60, 200], [200, 30, 40], [230, 230, 220]][class as usize];
        let picture = RgbImage::from_fn(90 + n % 7, 80, |x, y| {
            let wave = (x * (3 + class) + y * (1 + n % 5) + n * 13) % 61;
            Rgb(tone.map(|c: u32| (c + wave).min(255) as u8))
        });
        picture.save(path).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The real binary; a verb of two words, such as `cache verify`, is two arguments.
    pub fn command(&self, verb: &str, rest: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
        command
            .args(verb.split(' '))
            .arg(self.path("pipeline.toml"))
            .args(rest)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs a verb and gives what came of it.
    pub fn output(&self, verb: &str, rest: &[&str]) -> Output {
        self.command(verb, rest).output().unwrap()
    }

    /// Runs the program with arguments that name no pipeline file by themselves.
    pub fn program(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
        command.args(arguments).current_dir(self.folder.path()).env("NO_COLOR", "1").stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Runs a verb that must succeed; gives its stdout.
    #[track_caller]
    pub fn ok(&self, verb: &str, rest: &[&str]) -> String {
        let output = self.output(verb, rest);
        assert!(output.status.success(), "{verb} {rest:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a verb and leaves it running; what it says to stderr waits to be read.
    pub fn start(&self, verb: &str, rest: &[&str]) -> Child {
        self.command(verb, rest).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The rows of a statement, as JSON.
    #[track_caller]
    pub fn sql(&self, statement: &str) -> Vec<serde_json::Value> {
        self.sql_in(statement, &[])
    }

    /// The same, with more arguments.
    #[track_caller]
    pub fn sql_in(&self, statement: &str, rest: &[&str]) -> Vec<serde_json::Value> {
        let arguments = [&[statement, "--format", "json"], rest].concat();
        self.ok("sql", &arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The newest checkpoint of the only run in a store.
    pub fn checkpoint(&self, store: &str) -> PathBuf {
        let mut runs = entries(&self.path(store).join("checkpoints"));
        assert_eq!(runs.len(), 1, "one run in {store}");
        entries(&runs.remove(0)).pop().expect("a checkpoint")
    }

    /// The adapted weights in a store, without what names the run.
    pub fn weights(&self, store: &str) -> Vec<(String, Vec<u8>)> {
        let bytes = std::fs::read(self.checkpoint(store)).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: Vec<(String, Vec<u8>)> =
            file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect();
        tensors.sort();
        tensors
    }
}

/// What is in a folder, sorted; nothing where there is no folder.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(found) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for path in entries(from) {
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &to),
            false => assert!(std::fs::copy(path, to).is_ok()),
        }
    }
}
