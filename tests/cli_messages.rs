//! What the real binary prints: help, versions, and the commonest mistakes, with their exit codes.

use std::process::{Command, Stdio};

use insta_cmd::assert_cmd_snapshot;

use crate::pipeline::Pipeline;
use crate::spec_folder::{Folder, WHOLE};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    command.env_remove("RUST_BACKTRACE").env_remove("COLUMNS").env_remove("LIBTORCH").stdin(Stdio::null());
    command
}

/// A pipeline file to make mistakes about.
fn flowers() -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.path("flowers.toml"), WHOLE).unwrap();
    folder
}

/// The program in the folder, so that messages do not name it.
fn program_in(folder: &Folder) -> Command {
    let mut command = program();
    command.current_dir(folder.path(""));
    command
}

#[test]
fn every_verb_has_a_manual_page() {
    assert_cmd_snapshot!("help", program().arg("--help"));
    for verb in [
        "run",
        "ingest",
        "embed",
        "adapt",
        "evaluate",
        "ablate",
        "sql",
        "serve",
        "predict",
        "report",
        "export",
        "runs",
        "cache",
        "model",
        "schema",
        "init",
        "doctor",
        "describe",
        "completions",
        "man",
        "help",
    ] {
        assert_cmd_snapshot!(format!("help_{verb}"), program().args([verb, "--help"]));
    }
    for task in ["ls", "pull"] {
        assert_cmd_snapshot!(format!("help_model_{task}"), program().args(["model", task, "--help"]));
    }
    for task in ["ls", "verify", "gc", "rm"] {
        assert_cmd_snapshot!(format!("help_cache_{task}"), program().args(["cache", task, "--help"]));
    }
}

#[cfg(not(feature = "flight"))]
#[test]
fn a_program_without_serve_says_how_to_get_it() {
    let folder = flowers();
    assert_cmd_snapshot!(program_in(&folder).args(["serve", "flowers.toml"]), @r"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: this program was built without `serve`
    hint: build it with --features flight, as docs/installing.md says
    ");
}

#[cfg(not(feature = "cluster"))]
#[test]
fn a_program_without_clusters_says_how_to_get_them() {
    let pipeline = Pipeline::new(1, 1);
    let run = pipeline.output("run", &["--cluster", "df://127.0.0.1:1"]);
    let scheduler = pipeline.program(&["cluster", "scheduler"]);
    let executor = pipeline.program(&["cluster", "executor", "df://127.0.0.1:1"]);
    for output in [run, scheduler, executor] {
        let said = String::from_utf8_lossy(&output.stderr);
        let wanted = "error: this program was built without clusters\nhint: build it with --features cluster, as \
                      docs/installing.md says\n";
        assert_eq!((output.status.code(), said.as_ref(), output.stdout.len()), (Some(2), wanted, 0));
    }
    assert!(!pipeline.path("store").exists(), "nothing is done before");
}

#[test]
fn help_prints_the_page_of_a_verb_as_the_verb_does() {
    let printed = |arguments: &[&str]| program().args(arguments).output().unwrap();
    for verb in [&["run"][..], &["sql"], &["cache", "verify"], &["cache"], &["help"], &[]] {
        let (help, page) = (printed(&[&["help"], verb].concat()), printed(&[verb, &["--help"]].concat()));
        assert!(help.status.success() && !help.stdout.is_empty(), "{verb:?}");
        assert_eq!(help, page, "{verb:?}");
    }
    for (line, tip) in [
        (&["help", "rnu"][..], "tip: a similar subcommand exists: 'run"),
        (&["help", "cache", "verfy"], "tip: a similar subcommand exists: 'verify'"),
        (&["help", "run", "flowers.toml"], "'run' has no verb 'flowers.toml'"),
    ] {
        let refused = printed(line);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(2) && said.contains(tip), "{line:?}: {said}");
    }
    let script = String::from_utf8(printed(&["completions", "bash"]).stdout).unwrap();
    let of_help = script.rsplit("microclip__pipe__help)").next().unwrap();
    assert!(of_help.contains("predict"), "the shell completes the verbs: {of_help}");
}

#[test]
fn the_short_help_fits_a_screen() {
    assert_cmd_snapshot!("help_short", program().arg("-h"));
}

#[test]
fn the_version_names_libtorch() {
    let settings = {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"\d+\.\d+\.\d+ \(", "VERSION (");
        settings
    };
    settings.bind(|| {
        assert_cmd_snapshot!(program().arg("--version"), @r"
    success: true
    exit_code: 0
    ----- stdout -----
    microclip-pipe VERSION (libtorch 2.11)

    ----- stderr -----
    ")
    });
}

#[test]
fn a_missing_or_unknown_verb_is_a_usage_error() {
    assert_eq!(program().output().unwrap().status.code(), Some(2));
    assert_cmd_snapshot!(program().args(["rnu", "flowers.toml"]), @r"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: unrecognized subcommand 'rnu'

      tip: a similar subcommand exists: 'runs'

    Usage: microclip-pipe [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    assert_cmd_snapshot!(program().arg("run"), @r"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: the following required arguments were not provided:
      <PIPELINE>

    Usage: microclip-pipe run <PIPELINE>

    For more information, try '--help'.
    ");
}

#[test]
fn wrong_values_of_options_are_usage_errors() {
    assert_cmd_snapshot!(program().args(["run", "flowers.toml", "--device", "tpu"]), @r"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: invalid value 'tpu' for '--device <DEVICE>': one of auto, cpu, cuda, cuda:N

    For more information, try '--help'.
    ");
    assert_cmd_snapshot!(program().args(["run", "flowers.toml", "--seed", "-1"]), @r"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: invalid value '-1' for '--seed <N>': invalid digit found in string

    For more information, try '--help'.
    ");
    assert_cmd_snapshot!(program().args(["run", "flowers.toml", "--threads", "9999"]), @r"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: invalid value '9999' for '--threads <N>': 9999 is not in 0..=1024

    For more information, try '--help'.
    ");
    assert_cmd_snapshot!(program().args(["sql", "flowers.toml", "SELECT 1", "--format", "xml"]), @r"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: invalid value 'xml' for '--format <FORMAT>'
      [possible values: table, csv, json, parquet]

    For more information, try '--help'.
    ");
}

#[test]
fn mistakes_in_the_pipeline_file_are_usage_errors() {
    let folder = flowers();
    std::fs::write(folder.path("slip.toml"), format!("{WHOLE}\n[adapt]\nepoch = 3\n")).unwrap();
    assert_cmd_snapshot!(program_in(&folder).args(["run", "slip.toml"]), @r"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: slip.toml:14: unknown key 'adapt.epoch'
    hint: did you mean 'adapt.epochs'?
    ");
    assert_cmd_snapshot!(program_in(&folder).args(["ingest", "none.toml"]), @"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: pipeline file none.toml does not exist
    hint: `microclip-pipe init PICTURES` writes a first one
    ");
    assert_cmd_snapshot!(program_in(&folder).args(["run", "flowers.toml", "--set", "adapt.epoch=3"]), @r"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: --set adapt.epoch=3: unknown key 'adapt.epoch'
    hint: did you mean 'adapt.epochs'?
    ");
    assert_cmd_snapshot!(program_in(&folder).args(["run", "flowers.toml", "--store", "words.json"]), @"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: --store words.json: not a folder
    hint: name a folder; it is made where there is none
    ");
}

#[test]
fn an_ablation_file_must_be_there() {
    let folder = flowers();
    assert_cmd_snapshot!(program_in(&folder).args(["ablate", "none.toml"]), @"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: ablation file none.toml does not exist
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    ");
}

#[test]
fn sql_wants_a_statement() {
    let folder = flowers();
    assert_cmd_snapshot!(program_in(&folder).args(["sql", "flowers.toml"]), @r#"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: no SQL statement was given
    hint: give one, e.g. microclip-pipe sql flowers.toml "SELECT * FROM metrics", or - to read it from standard input
    "#);
    assert_cmd_snapshot!(program_in(&folder).args(["sql", "flowers.toml", "-"]), @r#"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: the SQL statement is empty
    hint: give one, e.g. microclip-pipe sql flowers.toml "SELECT * FROM metrics", or - to read it from standard input
    "#);
}

/// The same command, with one more argument.
fn messages(folder: &Folder, arguments: &[&str]) -> (String, String) {
    let output = program_in(folder).args(["run", "flowers.toml"]).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn messages_for_programs_are_json_lines() {
    let folder = flowers();
    let (printed, said) = messages(&folder, &["--log-format", "json", "--set", "adapt.epoch=3"]);
    assert_eq!(printed, "");
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["level"], "error");
    assert_eq!(lines[0]["hint"], "did you mean 'adapt.epochs'?");
    let (_, said) = messages(&folder, &["--quiet", "--set", "adapt.epoch=3"]);
    assert!(said.starts_with("error: "), "errors are said however quiet it is to be: {said}");
    // A line that cannot be read is told in the form that it asks for.
    for form in [&["--log-format=json", "--dry"][..], &["--dry", "--log-format", "json"]] {
        let (printed, said) = messages(&folder, form);
        assert_eq!(printed, "");
        let line: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(line["message"], "unexpected argument '--dry' found");
        assert_eq!(line["hint"], "a similar argument exists: '--dry-run'");
    }
    let (_, said) = messages(&folder, &["--quiet", "--verbose"]);
    assert!(said.contains("cannot be used with"), "{said}");
}

#[test]
fn progress_for_programs_is_json_lines() {
    let pipeline = Pipeline::new(1, 1);
    let output = pipeline.output("ingest", &["--log-format", "json", "--verbose"]);
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let of = |event: &str| lines.iter().find(|line| line["event"] == event && line["stage"] == "ingest");
    assert_eq!(of("begin").unwrap()["unit"], "image", "{said}");
    assert_eq!(of("end").unwrap()["done"], 6, "{said}");
    assert!(lines.iter().any(|line| line["level"] == "detail"), "--verbose says more: {said}");
}

#[test]
fn completions_and_manual_pages_are_made_of_the_command_line() {
    let folder = flowers();
    let printed = |arguments: &[&str]| {
        let output = program_in(&folder).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(printed(&["completions", shell]).contains("log-format"), "{shell}");
    }
    assert!(printed(&["man"]).contains(".TH microclip-pipe 1"));
    let pages = printed(&["man", "--output", "pages"]);
    for page in ["microclip-pipe.1", "microclip-pipe-run.1", "microclip-pipe-cache-gc.1"] {
        assert!(pages.lines().any(|line| line == format!("pages/{page}")), "no {page} in {pages}");
        assert!(std::fs::read_to_string(folder.path("pages").join(page)).unwrap().contains("SYNOPSIS"), "{page}");
    }
}

#[test]
fn nobody_reading_is_not_an_error() {
    let mut child = program().arg("--help").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&done.stderr).contains("panicked"));
}
