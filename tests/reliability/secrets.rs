//! A canary: what the environment keeps secret is in no table, file, message or report.

use std::path::Path;

use crate::pipeline::{Pipeline, entries};
use crate::server::{Reply, Seen, Server};

const CANARY: &str = "canary-5f0c/81d2-do-not-tell";

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

/// A server may repeat the key that it was shown, in its answers as in its refusals.
#[test]
fn the_key_of_a_language_model_is_told_to_its_server_alone() {
    let echo = |seen: &Seen| seen.authorization.clone().unwrap_or_default();
    let server = Server::new(move |seen, number| match number {
        0 => Reply::Words(format!("{{\"sentences\": [\"A flower, said {}.\"]}}", echo(seen))),
        1 => Reply::Status(200, "", format!("not JSON: {}", echo(seen))),
        2 => Reply::Words(format!("{{\"broken\": \"{}", echo(seen))),
        // As PHP writes JSON.
        3 => Reply::Status(500, "", format!("{{\"error\": \"{}\"}}", echo(seen).replace('/', "\\/"))),
        4..6 => Reply::Well,
        _ => Reply::Status(401, "", format!("{{\"error\": {{\"message\": \"wrong key: {}\"}}}}", echo(seen))),
    });
    let pipeline = Pipeline::new(1, 1);
    let endpoint = format!("describe.endpoint={}", server.endpoint());
    let trace = pipeline.path("trace.json");
    let asking = ["--set", &endpoint, "--set", "describe.model=m", "--set", "describe.retries=0"];
    for rest in [&["--dry-run"][..], &["--verbose", "--trace", trace.to_str().unwrap()], &["--log-format", "json"]] {
        let mut command =
            pipeline.command("describe", &[&asking[..], &["--set", "describe.concurrency=1"], rest].concat());
        command.envs(SECRETS.map(|name| (name, CANARY))).env("RUST_BACKTRACE", "full").env("RUST_LOG", "trace");
        let output = command.output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!said.contains(CANARY), "{rest:?}: {said}");
        assert_eq!(said.contains("wrong key: Bearer [key]"), rest != ["--dry-run"], "{said}");
    }
    // It was shown, or nothing was tested.
    assert!(server.seen().iter().all(|seen| seen.authorization.as_deref() == Some(&format!("Bearer {CANARY}"))));
    assert!(server.count() > 6);
    let tables = crate::rows::rows(&pipeline.path("store"));
    for (table, rows) in &tables {
        assert!(!rows.iter().any(|row| row.contains(CANARY)), "{table}");
    }
    let answers: String =
        tables.iter().filter(|(table, _)| table.contains("llm_answers")).flat_map(|(_, rows)| rows.clone()).collect();
    assert!(answers.contains("said Bearer [key]."), "{answers}");
    assert_silent(pipeline.folder.path());
}
