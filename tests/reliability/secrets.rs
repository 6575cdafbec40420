//! A canary: what the environment keeps secret is in no table, file, message or report.

use std::path::Path;

use crate::pipeline::{Pipeline, entries};

const CANARY: &str = "canary-5f0c81d2-do-not-tell";

const SECRETS: [&str; 8] = [
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "GITHUB_TOKEN",
    "MICROCLIP_TOKEN",
    "DATABASE_PASSWORD",
];

fn assert_silent(folder: &Path) {
    for path in entries(folder) {
        assert!(!path.to_string_lossy().contains(CANARY));
        if path.is_dir() {
            assert_silent(&path);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(CANARY.len()).any(|w| w == CANARY.as_bytes()), "{}", path.display());
        }
    }
}

#[test]
fn no_secret_of_the_environment_is_ever_written_or_said() {
    let pipeline = Pipeline::new(3, 1);
    pipeline.write("model.bin", "a pickle");
    let lost = format!("model.path={}", pipeline.path("model.bin").display());
    let rows = pipeline.path("rows.csv");
    let tasks: [(&str, Vec<&str>); 9] = [
        ("run", vec!["--set", "adapt.tune=head"]),
        ("run", vec!["--dry-run"]),
        ("sql", vec!["SELECT * FROM runs", "--format", "csv", "--output", rows.to_str().unwrap()]),
        ("sql", vec!["SELECT * FROM information_schema.df_settings"]),
        ("sql", vec!["SELECT nothing FROM runs"]),
        ("cache ls", vec![]),
        ("cache verify", vec![]),
        ("run", vec!["--set", &lost]),
        ("run", vec!["--set", "adapt.epochs=many"]),
    ];
    for (verb, rest) in tasks {
        let mut command = pipeline.command(verb, &rest);
        command.envs(SECRETS.map(|name| (name, CANARY))).env("RUST_BACKTRACE", "full").env("RUST_LOG", "trace");
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&said).contains(CANARY), "{verb} {rest:?}");
    }
    // Parts are compressed: their rows are looked at one by one.
    for (table, rows) in crate::rows::rows(&pipeline.path("store")) {
        assert!(!rows.iter().any(|row| row.contains(CANARY)), "{table}");
    }
    assert_silent(pipeline.folder.path());
}
