//! The shell that `sql` opens on a terminal, and statements that come through a pipe.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::pipeline::Pipeline;
use crate::terminal::Terminal;

/// A pipeline whose pictures are in the store, and a shell on it.
fn open(pipeline: &Pipeline) -> Terminal {
    open_with(pipeline, "cat")
}

/// The same, with a pager.
fn open_with(pipeline: &Pipeline, pager: &str) -> Terminal {
    let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    command.args(["sql", "pipeline.toml"]).current_dir(pipeline.folder.path());
    command.env("HOME", pipeline.folder.path()).env("PAGER", pager).env("TERM", "xterm").env_remove("XDG_STATE_HOME");
    let mut terminal = Terminal::start(command);
    terminal.wait_for("small=> ");
    terminal
}

#[test]
fn a_shell_answers_statements_and_commands() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("ingest", &[]);
    let mut shell = open(&pipeline);

    // Over two lines, up to the semicolon.
    shell.press("SELECT count(*) AS pictures\r");
    shell.wait_for("small-> ");
    shell.press("FROM images;\r");
    shell.wait_for("| 9 ");
    shell.wait_for("1 row");

    shell.wait_for("small=> ");
    shell.press("\\d images\r");
    shell.wait_for("the first path it was found at");

    shell.wait_for("small=> ");
    shell.press("\\timing\r");
    shell.wait_for("timing is on");
    shell.wait_for("small=> ");
    shell.press("SELECT 40 + 2 AS sum;\r");
    shell.wait_for("| 42 ");
    shell.wait_for("1 row, ");

    // Tab completes the only table that begins so.
    shell.wait_for("small=> ");
    shell.press("SELECT count(*) AS none FROM text_fe\t;\r");
    shell.wait_for("text_features;");
    shell.wait_for("| 0 ");

    shell.wait_for("small=> ");
    shell.press("SELECT * FROM imagse;\r");
    shell.wait_for("did you mean `images`?");
    shell.wait_for("small=> ");
    shell.press("EXPLAIN SELECT 1;\r");
    shell.wait_for("physical_plan");
    shell.wait_for("small=> ");
    shell.press("DROP TABLE images;\r");
    shell.wait_for("the statement is refused");

    shell.wait_for("small=> ");
    shell.press("\\format csv\r");
    shell.wait_for("small=> ");
    shell.press("\\o rows.csv\r");
    shell.wait_for("small=> ");
    shell.press("SELECT split, count(*) AS n FROM images GROUP BY split ORDER BY split;\r");
    shell.wait_for("2 rows, ");
    assert_eq!(std::fs::read_to_string(pipeline.path("rows.csv")).unwrap(), "split,n\ntest,3\ntrain,6\n");

    shell.wait_for("small=> ");
    shell.press("\\q\r");
    assert!(shell.end().success());
    let history = std::fs::read_to_string(pipeline.path(".local/state/microclip-pipe/sql_history")).unwrap();
    assert!(history.contains("SELECT count(*) AS pictures FROM images;\n"), "{history}");
}

#[test]
fn ctrl_c_ends_the_statement_and_not_the_shell() {
    let pipeline = Pipeline::new(1, 1);
    pipeline.ok("ingest", &[]);
    let mut shell = open(&pipeline);
    shell.press("SELECT sum(a.value * b.value) FROM range(0, 10000000) a, range(0, 10000000) b;\r");
    // Until the statement runs, the key is the editor's.
    let mut ended = false;
    for _ in 0..120 {
        std::thread::sleep(Duration::from_secs(1));
        shell.press("\x03");
        ended = shell.shows("the statement was interrupted", Duration::from_millis(500));
        if ended {
            break;
        }
    }
    assert!(ended, "Ctrl-C ends the statement");
    shell.wait_for("small=> ");
    shell.press("SELECT 40 + 2 AS sum;\r");
    shell.wait_for("| 42 ");
    // What was begun is given up.
    shell.wait_for("small=> ");
    shell.press("SELECT 1\r");
    shell.wait_for("small-> ");
    shell.press("\x03");
    shell.wait_for("small=> ");
    // Ctrl-D leaves.
    shell.press("\x04");
    assert!(shell.end().success());
}

#[test]
fn what_is_longer_than_the_terminal_goes_through_the_pager() {
    let pipeline = Pipeline::new(1, 1);
    pipeline.ok("ingest", &[]);
    let mut shell = open_with(&pipeline, "more");
    shell.press("SELECT value AS number FROM range(0, 200);\r");
    shell.wait_for("| 20 ");
    shell.wait_for("--More--");
    assert!(!shell.shows("| 199 ", Duration::from_millis(200)), "the end is not shown yet");
    // It has the keys: a space is the next page, and q is enough.
    shell.press(" ");
    shell.wait_for("| 60 ");
    shell.press("q");
    shell.wait_for("small=> ");
    shell.press("SELECT 40 + 2 AS sum;\r");
    shell.wait_for("| 42 ");
    shell.wait_for("small=> ");
    shell.press("\\q\r");
    assert!(shell.end().success());
}

#[test]
fn a_pager_that_is_not_there_is_done_without() {
    let pipeline = Pipeline::new(1, 1);
    pipeline.ok("ingest", &[]);
    let mut shell = open_with(&pipeline, "no-such-pager");
    shell.press("SELECT value AS number FROM range(0, 200);\r");
    shell.wait_for("| 199 ");
    shell.wait_for("small=> ");
}

#[test]
fn a_pipe_may_bring_several_statements() {
    let pipeline = Pipeline::new(1, 1);
    pipeline.ok("ingest", &[]);
    let piped = |text: &str, rest: &[&str]| {
        let mut command = pipeline.command("sql", rest);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let two = "SELECT ';' AS a; -- one\nSELECT count(*) AS n\nFROM images";
    assert_eq!(piped(two, &["--format", "csv"]).1, "a\n;\nn\n6\n");
    let (code, printed, said) = piped("SELECT 1 AS a; SELECT b; SELECT 2 AS c;", &["--format", "csv"]);
    assert_eq!((code, printed.as_str()), (Some(1), "a\n1\n"));
    assert!(said.contains("no column `b`"), "{said}");
    let (code, _, said) = piped(two, &["--format", "parquet"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("a Parquet file cannot hold 2 results"), "{said}");
}
