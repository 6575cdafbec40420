//! What `STYLE.md` says of lines is true of every line.

use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let inside = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(inside).filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

#[test]
fn comments_have_100_columns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["src", "tests", "examples", "benches", "fuzz/src"].iter().flat_map(|folder| files(&root.join(folder)))
    {
        // What stands between fences is drawn, and links cannot be broken.
        let mut drawn = false;
        for (number, line) in (1..).zip(std::fs::read_to_string(&file).unwrap().lines()) {
            let comment = line.trim_start();
            drawn ^= comment.starts_with("//") && comment.contains("```");
            let prose = comment.starts_with("//") && !drawn && !comment.contains("](") && !comment.contains('|');
            assert!(!prose || line.chars().count() <= 100, "{}:{number} is longer", file.display());
        }
    }
}
