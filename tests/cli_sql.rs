//! The verb `sql` on a store that nothing was computed into: its arguments, forms and mistakes.

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use insta_cmd::assert_cmd_snapshot;
use microclip_pipe::table::query;
use microclip_pipe::table::session::bare_session;

use crate::pipeline::Pipeline;
use crate::spec_folder::{Folder, WHOLE};

const FLOWERS: &str =
    "SELECT * FROM (VALUES (1, 'rose', 0.5), (2, NULL, 0.25)) AS t(class_id, name, confidence) ORDER BY 1";

fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.path("flowers.toml"), WHOLE).unwrap();
    folder
}

fn sql(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    command.env_remove("RUST_BACKTRACE").current_dir(folder.path("")).args(["sql", "flowers.toml"]).args(arguments);
    command.stdin(Stdio::null());
    command
}

fn ok(mut command: Command) -> Output {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done
}

#[test]
fn rows_are_written_in_each_form() {
    let folder = folder();
    assert_cmd_snapshot!(sql(&folder, &[FLOWERS]), @r"
    success: true
    exit_code: 0
    ----- stdout -----
    +----------+------+------------+
    | class_id | name | confidence |
    +----------+------+------------+
    | 1        | rose | 0.5        |
    | 2        |      | 0.25       |
    +----------+------+------------+

    ----- stderr -----
    ");
    assert_cmd_snapshot!(sql(&folder, &[FLOWERS, "--format", "csv"]), @r"
    success: true
    exit_code: 0
    ----- stdout -----
    class_id,name,confidence
    1,rose,0.5
    2,,0.25

    ----- stderr -----
    ");
    assert_cmd_snapshot!(sql(&folder, &[FLOWERS, "--format", "json"]), @r#"
    success: true
    exit_code: 0
    ----- stdout -----
    {"class_id":1,"name":"rose","confidence":0.5}
    {"class_id":2,"name":null,"confidence":0.25}

    ----- stderr -----
    "#);
    assert!(ok(sql(&folder, &[FLOWERS, "--format", "parquet"])).stdout.starts_with(b"PAR1"));
}

#[test]
fn tables_that_nothing_was_stored_in_are_empty_and_the_store_is_not_made() {
    let folder = folder();
    assert_cmd_snapshot!(sql(&folder, &["SELECT model, metric, value FROM metrics", "--format", "csv"]), @r"
    success: true
    exit_code: 0
    ----- stdout -----
    model,metric,value

    ----- stderr -----
    ");
    assert!(!folder.path(".store").exists());
}

#[test]
fn an_output_file_is_replaced_by_whole_results_only() {
    let folder = folder();
    let file = folder.path("rows.json");
    assert!(ok(sql(&folder, &[FLOWERS, "--format", "json", "--output", "rows.json"])).stdout.is_empty());
    let whole = std::fs::read_to_string(&file).unwrap();
    assert_eq!(whole.lines().count(), 2);
    let done = sql(&folder, &["SELECT nothing FROM metrics", "--output", "rows.json"]).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
}

#[test]
fn a_statement_is_read_from_standard_input() {
    let folder = folder();
    let mut child =
        sql(&folder, &["-", "--format", "csv"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT 1 AS one\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"one\n1\n");
}

#[test]
fn mistakes_say_what_there_is() {
    let folder = folder();
    assert_cmd_snapshot!(sql(&folder, &["SELECT * FROM metric"]), @r"
    success: false
    exit_code: 1
    ----- stdout -----

    ----- stderr -----
    error: there is no table `metric`
    hint: did you mean `metrics`?
    ");
    assert_cmd_snapshot!(sql(&folder, &["DROP TABLE metrics"]), @r"
    success: false
    exit_code: 1
    ----- stdout -----

    ----- stderr -----
    error: the statement is refused: DDL not supported: DropTable
    hint: tables can only be read here: use SELECT
    ");
    assert_cmd_snapshot!(sql(&folder, &["SELECT 1", "--output", "none/rows.csv"]), @"
    success: false
    exit_code: 1
    ----- stdout -----

    ----- stderr -----
    error: cannot write none/rows.csv: there is no folder none
    hint: make the folder, or name another
    ");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = folder();
    let many =
        "SELECT a.value AS a, b.value AS b FROM generate_series(1, 3000) a CROSS JOIN generate_series(1, 3000) b";
    for form in ["csv", "json"] {
        let mut child =
            sql(&folder, &[many, "--format", form]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let done = child.wait_with_output().unwrap();
        assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(0), ""), "{form}");
    }
}

#[test]
fn a_statement_that_needs_too_much_memory_fails() {
    let folder = folder();
    let sorted = "SELECT a.value, b.value FROM generate_series(1, 2000) a CROSS JOIN generate_series(1, 2000) b ORDER BY a.value * b.value % 977";
    let done = sql(&folder, &[sorted, "--format", "csv", "--memory-limit", "3MB"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        said.contains("the statement needs more memory than it may have") && said.contains("--memory-limit"),
        "{said}"
    );
    assert!(done.stdout.is_empty());
}

#[test]
fn a_statement_that_takes_too_long_fails() {
    let folder = folder();
    let endless = "SELECT count(*) FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b \
                   CROSS JOIN generate_series(1, 1000000) c WHERE a.value * b.value % 977 = c.value";
    assert_cmd_snapshot!(sql(&folder, &[endless, "--time-limit", "1"]), @r"
    success: false
    exit_code: 1
    ----- stdout -----

    ----- stderr -----
    error: the statement took longer than 1 s
    hint: ask for less, or allow more with --time-limit
    ");
}

#[test]
fn joins_of_every_row_with_every_row_give_way() {
    let (a, b) = ("generate_series(1, 1000000) a", "generate_series(1, 1000000) b");
    for endless in [
        format!("SELECT count(*) FROM {a} CROSS JOIN {b}"),
        format!("SELECT sum(a.value * b.value) FROM {a}, {b}"),
        format!("SELECT count(*) FROM {a} JOIN {b} ON a.value % 2 = b.value % 2"),
        format!("SELECT count(*) FROM {a} JOIN {b} ON a.value < b.value + 1000000"),
    ] {
        let (send, ended) = std::sync::mpsc::channel();
        let statement = endless.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let limit = Duration::from_millis(500);
            let answer = runtime.block_on(async {
                let rows = query(&bare_session(), &statement).await.unwrap().collect();
                tokio::time::timeout(limit, rows).await
            });
            send.send(answer.is_err()).unwrap();
        });
        assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(true), "{endless}");
    }
}

#[test]
fn a_result_that_is_too_large_to_draw_is_refused() {
    let folder = folder();
    let many =
        "SELECT repeat('x', 60) AS a, b.value FROM generate_series(1, 3000) a CROSS JOIN generate_series(1, 3000) b";
    let done = sql(&folder, &[many]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1));
    assert!(said.contains("too large to be drawn as a table") && said.contains("--format csv"), "{said}");
}

#[test]
fn no_statement_reads_another_file() {
    let folder = folder();
    std::fs::write(folder.path("secret.csv"), "word\nhush\n").unwrap();
    let (here, file) = (folder.path("secret.csv").display().to_string(), "secret.csv".to_owned());
    for path in [&here, &file, &format!("file://{here}")] {
        for statement in [
            format!("SELECT * FROM '{path}'"),
            format!("SELECT * FROM \"{path}\""),
            format!("SELECT * FROM read_csv('{path}')"),
            format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{path}'"),
            format!("COPY (SELECT 1) TO '{path}'"),
        ] {
            let done = sql(&folder, &[&statement]).output().unwrap();
            assert_eq!(done.status.code(), Some(1), "{statement}");
            assert!(!String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).contains("hush"), "{statement}");
        }
    }
    assert_eq!(std::fs::read_to_string(folder.path("secret.csv")).unwrap(), "word\nhush\n");
}

#[test]
fn what_is_no_sql_is_told_where_it_goes_wrong() {
    assert_cmd_snapshot!(sql(&folder(), &["SELECT * FORM runs"]), @"
    success: false
    exit_code: 1
    ----- stdout -----

    ----- stderr -----
    error: the statement failed: Expected: end of statement, found: FORM at Line: 1, Column: 10
    hint: `microclip-pipe schema` lists tables and columns; the SQL is DataFusion's
    ");
    assert_cmd_snapshot!(sql(&folder(), &["\\d metrics"]), @r"
    success: false
    exit_code: 2
    ----- stdout -----

    ----- stderr -----
    error: \d is a command of the shell, which `sql` opens on a terminal, and no SQL
    hint: `microclip-pipe schema` lists tables and columns; the shell: microclip-pipe sql flowers.toml
    ");
    assert_cmd_snapshot!(sql(&folder(), &["SELECT 'rose"]), @"
    success: false
    exit_code: 1
    ----- stdout -----

    ----- stderr -----
    error: the statement failed: Unterminated string literal at Line: 1, Column: 8
    hint: `microclip-pipe schema` lists tables and columns; the SQL is DataFusion's
    ");
}

/// A drawn table without rows is a header, which looks like an answer that was cut off.
#[test]
fn a_result_without_rows_says_so_to_people_alone() {
    let folder = folder();
    assert_cmd_snapshot!(sql(&folder, &["SELECT model, value FROM metrics"]), @r"
    success: true
    exit_code: 0
    ----- stdout -----
    +-------+-------+
    | model | value |
    +-------+-------+
    +-------+-------+

    ----- stderr -----
    0 rows
    the store has no pictures of this pipeline yet: microclip-pipe run fills the tables
    ");
    for (format, rows) in [("csv", "model,value\n"), ("json", "")] {
        let done = ok(sql(&folder, &["SELECT model, value FROM metrics", "--format", format]));
        assert_eq!(String::from_utf8(done.stdout).unwrap(), rows);
        assert!(!String::from_utf8(done.stderr).unwrap().contains("0 rows"));
    }
    let mut several = sql(&folder, &["-"]);
    let mut child = several.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT 1; SELECT 1 WHERE false").unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.starts_with("result 2: 0 rows\n"), "{said}");
}

#[test]
fn a_store_may_be_named_from_the_folder_above() {
    let pipeline = Pipeline::new(1, 1);
    pipeline.ok("ingest", &[]);
    let store = ["--store", "pictures/../store", "--format", "csv"];
    let output =
        pipeline.program(&[&["sql", "pipeline.toml", "SELECT count(*) AS n FROM images"], &store[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "n\n6\n");
}
