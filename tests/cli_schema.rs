//! The real binary's `schema`, and the files that are made from it.

use std::path::PathBuf;
use std::process::Command;

use insta_cmd::assert_cmd_snapshot;

fn schema(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    command.arg("schema").args(arguments).env("NO_COLOR", "1");
    command
}

#[test]
fn a_table_says_what_its_columns_mean() {
    assert_cmd_snapshot!("schema_labels", schema(&["labels"]));
    assert_cmd_snapshot!("schema_view", schema(&["dead_classes"]));
    assert_cmd_snapshot!("schema_list", schema(&[]));
    assert_cmd_snapshot!(schema(&["look_alike"]), @r"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: there is no table or view `look_alike`
    hint: did you mean `look_alikes`?
    ");
}

/// Both are made from the table that pipeline files are checked against.
#[test]
fn what_is_made_from_the_keys_is_current() {
    for (flag, file) in [("--pipeline", "schemas/pipeline.schema.json"), ("--settings", "docs/settings.md")] {
        let stored = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let printed = String::from_utf8(schema(&[flag]).output().unwrap().stdout).unwrap();
        assert!(
            stored == printed,
            "{file} is of other keys: write it anew with `microclip-pipe schema {flag} > {file}`"
        );
    }
}

#[test]
fn the_schema_has_what_a_file_must_have() {
    let printed = schema(&["--pipeline"]).output().unwrap().stdout;
    let schema: serde_json::Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(schema["required"], serde_json::json!(["name", "dataset", "model"]));
    assert_eq!(schema["properties"]["dataset"]["required"], serde_json::json!(["kind", "path"]));
    let tune = &schema["properties"]["adapt"]["properties"]["tune"];
    assert_eq!(tune["default"], "head");
    assert_eq!(
        tune["enum"].as_array().unwrap().len(),
        tune["x-taplo"]["docs"]["enumValues"].as_array().unwrap().len(),
        "each choice is explained"
    );
    assert_eq!(schema["properties"]["views"]["properties"]["count"]["maximum"], 1024);
}
