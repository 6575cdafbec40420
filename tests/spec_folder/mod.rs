//! A folder with everything that a pipeline file names.

use std::path::PathBuf;

use microclip_pipe::config::{Spec, load};

/// A pipeline file without a mistake, for a [`Folder`].
pub const WHOLE: &str = r#"name = "flowers"

[dataset]
kind = "folder"
path = "pictures"

[model]
path = "model"

[text]
descriptions = "words.json"
"#;

/// A temporary folder; goes when dropped.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path("pictures")).unwrap();
        std::fs::create_dir(folder.path("model")).unwrap();
        for (name, text) in [("words.json", "{}"), ("classes.txt", "rose\n"), ("dka.sql", "SELECT 1"), ("list.csv", "")]
        {
            std::fs::write(folder.path(name), text).unwrap();
        }
        folder
    }

    /// The path of something in it, free of symbolic links.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    /// Loads `text` as `flowers.toml`.
    pub fn load(&self, text: &str, overrides: &[&str]) -> microclip_pipe::Result<Spec> {
        let path = self.path("flowers.toml");
        std::fs::write(&path, text).unwrap();
        load(&path, &overrides.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    /// What a user reads who loads `text`, with the folder's name taken out.
    #[allow(dead_code, reason = "each test binary uses its part of this file")]
    pub fn mistake(&self, text: &str, overrides: &[&str]) -> String {
        self.shown(self.load(text, overrides))
    }

    /// The same for a file that is there.
    #[allow(dead_code, reason = "each test binary uses its part of this file")]
    pub fn refusal(&self, name: &str) -> String {
        self.shown(load(&self.path(name), &[]))
    }

    fn shown(&self, loaded: microclip_pipe::Result<Spec>) -> String {
        let error = loaded.expect_err("a mistake");
        let hint = error.hint_text().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        let folder = self.path("").display().to_string();
        format!("{error}{hint}").replace(&folder, "DIR/").replace(folder.trim_end_matches('/'), "DIR")
    }
}
