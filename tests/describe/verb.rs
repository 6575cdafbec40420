//! `describe`: the real binary asks a server on loopback, which answers well, late, wrong, or not.

use std::process::{Command, Output, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::server::{Reply, Seen, Server, chat, sentences};
use crate::pipeline::{CLASSES, Pipeline, entries};
use crate::terminal::Terminal;

/// A small pipeline without sentences that asks this server. Each class has 4 questions.
fn asking(server: &Server) -> Pipeline {
    let pipeline = Pipeline::new(2, 1);
    pipeline.write("sentences.json", "{}");
    let endpoint = server.endpoint();
    add(
        &pipeline,
        &format!("[describe]\nmodel = \"loopback\"\nendpoint = \"{endpoint}\"\nretries = 3\ntimeout = 20\n"),
    );
    pipeline
}

fn add(pipeline: &Pipeline, lines: &str) {
    let file = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    pipeline.write("pipeline.toml", &format!("{file}{lines}"));
}

/// Every class has 4 questions.
const QUESTIONS: usize = 4 * CLASSES.len();

fn describe(pipeline: &Pipeline, rest: &[&str]) -> Output {
    without_keys(pipeline.command("describe", rest)).output().unwrap()
}

fn without_keys(mut command: Command) -> Command {
    command.env_remove("OPENAI_API_KEY").env_remove("OPENAI_BASE_URL").env("HTTP_PROXY", "http://127.0.0.1:9");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

#[track_caller]
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn fails(output: &Output, code: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    words.iter().for_each(|words| assert!(said.contains(words), "no '{words}' in: {said}"));
}

fn file(pipeline: &Pipeline) -> Value {
    serde_json::from_slice(&std::fs::read(pipeline.path("sentences.json")).unwrap()).unwrap()
}

fn count(pipeline: &Pipeline, what: &str) -> u64 {
    pipeline.sql(&format!("SELECT count(*) AS n FROM {what}"))[0]["n"].as_u64().unwrap()
}

#[test]
fn a_run_reads_what_was_asked_and_nothing_is_asked_twice() {
    let server = Server::new(|_, _| Reply::Well);
    let pipeline = asking(&server);
    let dry = ok(&describe(&pipeline, &["--dry-run", "--set", "describe.price_out=2"]));
    assert!(dry.contains("12 to ask, 0 answered already") && dry.contains("estimated"), "{dry}");
    // 36 sentences of 30 tokens.
    assert!(dry.contains("1,080 written") && dry.contains("$0.0022"), "{dry}");
    assert_eq!(server.count(), 0, "a plan asks nothing");

    let shown = ok(&describe(&pipeline, &["--set", "describe.price_in=1", "--set", "describe.price_out=10"]));
    assert_eq!(server.count(), QUESTIONS);
    assert!(shown.contains("1,200 read, 480 written") && shown.contains("$0.0060"), "{shown}");
    assert!(shown.contains("36 about 3 of 3 classes"), "{shown}");
    let sentences_of = |class: &str| file(&pipeline)[class].as_array().unwrap().len();
    assert_eq!(CLASSES.map(sentences_of), [12; 3]);

    // A run reads the file, as it would that of a person.
    pipeline.ok("embed", &["--without-views"]);
    let read = pipeline.sql("SELECT sentence FROM descriptions WHERE kind = 'description' ORDER BY class_id, index");
    assert_eq!(read.len(), 36);
    assert_eq!(read[0]["sentence"], file(&pipeline)["blue bell"][0]);
    let rows = pipeline.sql("SELECT * FROM llm_answers WHERE class = 'red rose' ORDER BY question LIMIT 1");
    let expected =
        json!({"model": "loopback", "answered_by": "loopback-2026", "format": "json_schema", "tokens_out": 40});
    expected.as_object().unwrap().iter().for_each(|(column, value)| assert_eq!(&rows[0][column], value, "{rows:?}"));

    ok(&describe(&pipeline, &[]));
    assert_eq!(server.count(), QUESTIONS, "a second call asks nothing");
    // One class more asks about one.
    std::fs::create_dir_all(pipeline.path("pictures/train/pink_aster")).unwrap();
    pipeline.picture("pictures/train/pink_aster/1.png", 1, 77);
    ok(&describe(&pipeline, &[]));
    let new = server.seen().split_off(QUESTIONS);
    assert!(new.len() == 4 && new.iter().all(|seen| seen.class() == "pink aster"), "{new:?}");
    let first = file(&pipeline);
    ok(&describe(&pipeline, &["--again", "--classes", "Red_Rose"]));
    assert_eq!(server.count(), QUESTIONS + 8);
    let (old, new) = (first["red rose"].as_array().unwrap(), file(&pipeline)["red rose"].clone());
    assert!(new.as_array().unwrap().len() == 12 && !old.iter().any(|old| new.as_array().unwrap().contains(old)));
    assert_eq!(file(&pipeline)["white lily"], first["white lily"]);
    fails(&describe(&pipeline, &["--classes", "red ros"]), 2, &["no class 'red ros'", "did you mean `red rose`?"]);
}

#[test]
fn what_a_person_does_to_the_file_stays() {
    let server = Server::new(|_, _| Reply::Well);
    let pipeline = asking(&server);
    pipeline.write("sentences.json", "{\"White_Lily\": [\"A white lily that I saw.\"], \"weed\": [\"Not a class.\"]}");
    ok(&describe(&pipeline, &[]));
    let mut edited = file(&pipeline);
    assert_eq!(edited["White_Lily"][0], "A white lily that I saw.");
    assert_eq!(edited["White_Lily"].as_array().unwrap().len(), 13);
    let gone = edited["red rose"].as_array_mut().unwrap().remove(2);
    edited["red rose"][0] = json!("A changed sentence.");
    pipeline.write("sentences.json", &edited.to_string());
    ok(&describe(&pipeline, &[]));
    assert_eq!(file(&pipeline), edited);
    let out = pipeline.sql("SELECT sentence FROM llm_sentences WHERE reason = 'taken out of the file' ORDER BY index");
    assert!(out.len() == 2 && out[1]["sentence"] == gone, "{out:?}");
    // Another seed asks anew, and its sentences take the place of the old ones.
    ok(&describe(&pipeline, &["--set", "describe.seed=1", "--set", "describe.sentences=4"]));
    let lily = file(&pipeline)["White_Lily"].as_array().unwrap().clone();
    assert!(lily.len() == 5 && lily[0] == "A white lily that I saw.", "{lily:?}");
    let rose = file(&pipeline)["red rose"].as_array().unwrap().clone();
    assert!(rose.len() == 5 && rose[0] == "A changed sentence.", "{rose:?}");
    // And back, at no cost.
    let before = server.count();
    ok(&describe(&pipeline, &[]));
    assert_eq!((server.count(), file(&pipeline)["White_Lily"].as_array().unwrap().len()), (before, 13));
    let rose = file(&pipeline)["red rose"].as_array().unwrap().clone();
    assert!(rose.len() == 11 && !rose.contains(&gone), "what was taken out stays out: {rose:?}");
    let other = pipeline.path("other.json");
    ok(&describe(&pipeline, &["--output", other.to_str().unwrap()]));
    let other: Value = serde_json::from_slice(&std::fs::read(other).unwrap()).unwrap();
    assert_eq!(other["white lily"].as_array().unwrap().len(), 12);
    fails(&describe(&pipeline, &["--output", "none/a.json"]), 2, &["there is no folder"]);
}

/// The number of sentences about each class that are in a file, and not in another.
fn news(now: &Value, before: &Value) -> [usize; 3] {
    let list = |file: &Value, class: &str| file[class].as_array().cloned().unwrap_or_default();
    CLASSES.map(|class| list(now, class).iter().filter(|text| !list(before, class).contains(text)).count())
}

/// The number of answers that come before the server refuses the key.
fn refuses_after(many: usize) -> Server {
    Server::new(move |_, number| match number < many {
        true => Reply::Well,
        false => Reply::Status(401, "", json!({"error": {"message": "no key"}}).to_string()),
    })
}

#[test]
fn no_sentence_goes_before_others_stand_in_its_place() {
    let server = Server::new(|_, _| Reply::Well);
    let pipeline = asking(&server);
    ok(&describe(&pipeline, &["--set", "describe.concurrency=1"]));
    let first = file(&pipeline);
    let second = ["--set", "describe.model=second", "--set", "describe.concurrency=1"];
    for (what, many) in [(&second[..], 0), (&["--set", "describe.seed=7"], 0), (&["--again"], 0)] {
        let refusing = refuses_after(many);
        let endpoint = format!("describe.endpoint={}", refusing.endpoint());
        let failed = describe(&pipeline, &[what, &["--set", &endpoint]].concat());
        fails(&failed, 1, &["refuses the key", "36 about 3 of 3 classes"]);
        assert_eq!(file(&pipeline), first, "{what:?}");
    }
    // One class is answered, another in part: the first changes over, and the others wait.
    let refusing = refuses_after(6);
    let endpoint = format!("describe.endpoint={}", refusing.endpoint());
    let failed = describe(&pipeline, &[&second[..], &["--set", &endpoint]].concat());
    fails(&failed, 1, &["2 classes keep the sentences of earlier answers", "red rose, white lily"]);
    assert_eq!((news(&file(&pipeline), &first), news(&first, &file(&pipeline))), ([12, 0, 0], [12, 0, 0]));
    assert_eq!(count(&pipeline, "llm_sentences WHERE reason IS NULL AND written"), 36);
    ok(&describe(&pipeline, &second));
    assert_eq!((news(&file(&pipeline), &first), news(&first, &file(&pipeline))), ([12; 3], [12; 3]));
    // And back, at no cost.
    let before = server.count();
    ok(&describe(&pipeline, &[]));
    assert_eq!((file(&pipeline), server.count()), (first.clone(), before));

    // What is asked again and fails in the middle has its earlier answer.
    let failing = Server::new(|seen, number| match number {
        0..2 => Reply::Words(sentences(seen).join("\n").replace("shows", "now shows")),
        2 => Reply::Words(String::new()),
        3 => Reply::Status(200, "", "{}".to_owned()),
        _ => Reply::Status(401, "", String::new()),
    });
    let endpoint = format!("describe.endpoint={}", failing.endpoint());
    let again = ["--again", "--set", "describe.concurrency=1", "--set", "describe.retries=0", "--set", &endpoint];
    fails(&describe(&pipeline, &again), 1, &["refuses the key"]);
    let sizes = CLASSES.map(|class| file(&pipeline)[class].as_array().unwrap().len());
    assert!(sizes[0] >= 9 && sizes[1..] == [12, 12], "{sizes:?}");
    assert!(news(&file(&pipeline), &first)[0] >= 6);
}

/// A model that refuses to answer settles all questions, and gives nothing.
#[test]
fn a_model_that_refuses_takes_no_sentence_away() {
    let server = Server::new(|seen, _| match seen.body["model"].as_str() {
        Some("second") => Reply::Words("I'm sorry, but I cannot help with that.".to_owned()),
        _ => Reply::Well,
    });
    let pipeline = asking(&server);
    ok(&describe(&pipeline, &[]));
    let first = file(&pipeline);
    let kept = describe(&pipeline, &["--set", "describe.model=second"]);
    assert!(ok(&kept).contains("36 about 3 of 3") && said(&kept).contains("3 classes keep the sentences"));
    assert_eq!(file(&pipeline), first);
}

#[test]
fn a_kill_in_the_middle_of_a_switch_leaves_the_file_as_it_was() {
    let server = Server::new(|seen, _| match seen.body["model"].as_str() {
        Some("second") => Reply::Late(Duration::from_millis(40), Box::new(Reply::Well)),
        _ => Reply::Well,
    });
    let pipeline = asking(&server);
    ok(&describe(&pipeline, &[]));
    let first = file(&pipeline);
    let second = ["--set", "describe.model=second", "--set", "describe.concurrency=1"];
    let mut command = without_keys(pipeline.command("describe", &second));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while server.count() < QUESTIONS + 6 {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(file(&pipeline), first);
    ok(&describe(&pipeline, &[]));
    assert_eq!(file(&pipeline), first, "the first model's answers are there");
    ok(&describe(&pipeline, &second));
    assert_eq!((news(&file(&pipeline), &first), news(&first, &file(&pipeline))), ([12; 3], [12; 3]));
}

#[test]
fn a_file_of_sentences_is_made_and_init_makes_one_that_runs_read() {
    let server = Server::new(|_, _| Reply::Well);
    let pipeline = asking(&server);
    std::fs::remove_file(pipeline.path("sentences.json")).unwrap();
    ok(&describe(&pipeline, &[]));
    assert_eq!(file(&pipeline)["red rose"].as_array().unwrap().len(), 12);

    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/data/clip-flora");
    let made = pipeline.program(&["init", "pictures", "--model", model, "--output", "pipeline.toml", "--force"]);
    assert!(made.status.success(), "{}", said(&made));
    let note = "text.descriptions has no sentence yet";
    assert!(said(&pipeline.output("embed", &["--without-views"])).contains(note));
    let sentences = "SELECT count(*) AS n FROM descriptions WHERE kind = 'description' AND sentence LIKE '%detail%'";
    assert_eq!(pipeline.sql(sentences)[0]["n"], 0);
    let endpoint = server.endpoint();
    ok(&describe(&pipeline, &["--set", &format!("describe.endpoint={endpoint}"), "--set", "describe.model=loopback"]));
    assert!(!said(&pipeline.output("embed", &["--without-views"])).contains(note));
    assert_eq!(pipeline.sql(sentences)[0]["n"], 36);
}

#[test]
fn what_fails_is_asked_again() {
    let server = Server::new(|_, number| match number {
        0 => Reply::Status(429, "retry-after: 1\r\n", json!({"error": {"message": "slow down"}}).to_string()),
        2 => Reply::Status(500, "", "oops".to_owned()),
        4 => Reply::Close,
        6 => Reply::Half,
        8 => Reply::Status(200, "", "<html>not a chat</html>".to_owned()),
        10 => Reply::Words("{\"sentences\": [\"It broke of".to_owned()),
        14 => Reply::Status(200, "", json!({"error": {"message": "overloaded", "code": 502}}).to_string()),
        12 => Reply::Late(Duration::from_secs(40), Box::new(Reply::Well)),
        _ => Reply::Well,
    });
    let pipeline = asking(&server);
    let began = Instant::now();
    let shown = ok(&describe(&pipeline, &["--set", "describe.concurrency=1", "--set", "describe.timeout=1.5"]));
    assert!(shown.contains("36 about 3 of 3 classes"), "{shown}");
    assert!(began.elapsed() < Duration::from_secs(30), "a late answer is not waited for");
    let seen = server.seen();
    assert_eq!(seen.len(), QUESTIONS + 8);
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(1), "as long as the server asked for");
    assert!((0..16).step_by(2).all(|n| seen[n].question() == seen[n + 1].question()));
    let rows = pipeline.sql("SELECT requests, count(*) AS n FROM llm_answers GROUP BY requests ORDER BY requests");
    assert_eq!(rows, [json!({"requests": 1, "n": 4}), json!({"requests": 2, "n": 8})]);
}

#[test]
fn a_server_says_which_form_it_takes() {
    // It knows no schema; and of the two, the other server knows no JSON either.
    for (known, form) in [(&["json_object", "none"][..], "json_object"), (&["none"], "lines")] {
        let server = Server::new(move |seen, _| match seen.form() {
            form if !known.contains(&form) => {
                Reply::Status(400, "", json!({"error": {"message": "unknown response_format"}}).to_string())
            }
            "json_object" => Reply::Well,
            _ => Reply::Words(sentences(seen).iter().zip(1..).map(|(s, n)| format!("{n}. {s}\n")).collect()),
        });
        let pipeline = asking(&server);
        ok(&describe(&pipeline, &["--set", "describe.concurrency=1"]));
        assert_eq!(count(&pipeline, &format!("llm_answers WHERE format = '{form}'")), QUESTIONS as u64);
        assert_eq!(count(&pipeline, "llm_sentences WHERE reason IS NULL"), 36);
        // It is found out once.
        assert_eq!(server.count(), QUESTIONS + 3 - known.len());
    }
    // A server may ignore the field or know no seed, and a model may want the limit under another
    // name.
    let server = Server::new(|seen, _| match &seen.body["max_completion_tokens"] {
        _ if seen.body["seed"] == 0 => {
            let detail = json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]});
            Reply::Status(422, "", detail.to_string())
        }
        Value::Null => {
            let message = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
            Reply::Status(400, "", json!({"error": {"message": message}}).to_string())
        }
        _ => Reply::Words(format!("Sure! Here you are:\n\n{}", sentences(seen).join("\n"))),
    });
    let pipeline = asking(&server);
    let shown = ok(&describe(&pipeline, &["--set", "describe.concurrency=1"]));
    assert!(shown.contains("12: 12 an introduction") && server.count() == QUESTIONS + 2, "{shown}");
}

#[test]
fn what_waiting_does_not_mend_ends_at_once_and_keeps_what_was_answered() {
    let refused = |status, body: Value| Reply::Status(status, "", body.to_string());
    let quota = json!({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}});
    let server = Server::new(move |_, number| if number < 5 { Reply::Well } else { refused(429, quota.clone()) });
    let pipeline = asking(&server);
    let output = describe(&pipeline, &["--set", "describe.concurrency=1"]);
    fails(&output, 1, &["stops answering (429: You exceeded your current quota)", "1 of 3 classes lacks a sentence"]);
    assert_eq!((server.count(), count(&pipeline, "llm_answers")), (6, 5));
    assert_eq!(file(&pipeline)["blue bell"].as_array().unwrap().len(), 12);

    let server = Server::new(move |seen, _| match seen.path.as_str() {
        "/v1/models" => refused(200, json!({"data": [{"id": "llama3"}, {"id": "qwen3"}]})),
        _ => refused(404, json!({"error": "model 'loopback' not found"})),
    });
    let words = ["does not know model 'loopback' (404: model 'loopback' not found)", "it has llama3, qwen3"];
    fails(&describe(&asking(&server), &[]), 1, &words);
    let pipeline = asking(&server);
    let unnamed =
        std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap().replace("model = \"loopback\"\n", "");
    pipeline.write("pipeline.toml", &unnamed);
    fails(&describe(&pipeline, &[]), 2, &["no language model is named", "the server has llama3, qwen3"]);
    // A server that has one is asked by that.
    let only = Server::new(move |seen, _| match seen.path.as_str() {
        "/v1/models" => refused(200, json!({"data": [{"id": "llama3"}]})),
        _ => Reply::Well,
    });
    pipeline.write("pipeline.toml", &unnamed.replace(&server.endpoint(), &only.endpoint()));
    let output = describe(&pipeline, &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("llama3 was asked, the only one that the server has"), "{said}");

    let server = Server::new(move |_, _| refused(401, json!({"error": {"message": "no key"}})));
    fails(&describe(&asking(&server), &[]), 1, &["refuses the key (401: no key)", "OPENAI_API_KEY is not set"]);
    let server = Server::new(move |_, _| Reply::Status(429, "retry-after: 3600\r\n", String::new()));
    fails(&describe(&asking(&server), &[]), 1, &["asks to wait for 3600 s"]);
    let server = Server::new(move |_, _| Reply::Status(302, "location: https://elsewhere/v1\r\n", String::new()));
    fails(&describe(&asking(&server), &[]), 1, &["leads elsewhere (302): https://elsewhere/v1"]);
    let (pipeline, gone) = (asking(&server), "describe.endpoint=http://127.0.0.1:9/v1");
    fails(&describe(&pipeline, &["--set", gone, "--set", "describe.retries=1"]), 1, &["answers no question"]);
}

#[test]
fn classes_that_lack_sentences_are_named_and_asked_about_again() {
    let server = Server::new(|seen, number| match (seen.class(), number) {
        ("red rose", 0..40) => Reply::Status(200, "", "{}".to_owned()),
        ("white lily", _) => Reply::Words("I'm sorry, but I cannot help with that.".to_owned()),
        _ => Reply::Well,
    });
    let pipeline = asking(&server);
    let once = ["--set", "describe.retries=0"];
    let words = [
        "2 of 3 classes lack a sentence: red rose, white lily",
        "4 questions have no answer of use",
        "4 refusal",
        "llm_answers WHERE problem",
    ];
    fails(&describe(&pipeline, &once), 1, &words);
    assert_eq!(
        count(&pipeline, "llm_answers WHERE class = 'red rose' AND problem = 'an empty answer' AND NOT settled"),
        4
    );
    // A refusal is settled: it costs as much again, and says the same.
    let before = server.count();
    fails(&describe(&pipeline, &once), 1, &["2 of 3"]);
    assert!(server.seen()[before..].iter().all(|seen| seen.class() == "red rose"));
    assert_eq!(server.count(), before + 4);
    // Who asks about one class is told what a run still lacks, and that is no failure.
    let once = [&once[..], &["--classes", "Blue Bell"]].concat();
    let output = describe(&pipeline, &once);
    assert!(ok(&output).contains("about 1 of 3 classes"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lacking = "2 of 3 classes lack a sentence: red rose, white lily, and a run is refused until all have one";
    assert!(said.contains(lacking) && said.contains("pipeline.toml asks about them"), "{said}");
    // Runs that read no sentences, or another file, lack none.
    let other = pipeline.path("other.json").display().to_string();
    for elsewhere in [["--set", "text.prototypes=templates"], ["--output", &other]] {
        let output = describe(&pipeline, &[&once[..], &elsewhere].concat());
        assert!(!String::from_utf8_lossy(&output.stderr).contains("a run is refused"), "{output:?}");
    }
    // A run says what is lacking, too.
    let run = pipeline.output("embed", &["--without-views"]);
    fails(&run, 1, &["no sentence about 2 of 3 classes: red rose, white lily", "`microclip-pipe describe` asks"]);
}

#[test]
fn sentences_are_cleaned_and_what_is_set_aside_says_why() {
    let long = vec!["petal"; 90].join(" ");
    let server = Server::new(move |seen, _| {
        let list = json!({"sentences": [
            "1. **It has five petals.**", "It has five petals", "Unlike a white lily, it is red.",
            "\"The red rose has thorns.\"", format!("It has {long}."),
        ]});
        if seen.class() == "red rose" { Reply::Words(list.to_string()) } else { Reply::Well }
    });
    let pipeline = asking(&server);
    let shown = ok(&describe(&pipeline, &["--set", "describe.sentences=2"]));
    // Of two questions, with 5 lines each: one is kept of each, and the second repeats the first.
    assert!(shown.contains("names another class") && shown.contains("2 too long"), "{shown}");
    let rose = |reason: &str| {
        let rows = pipeline
            .sql(&format!("SELECT sentence FROM llm_sentences WHERE class = 'red rose' AND {reason} ORDER BY index"));
        rows.into_iter().map(|row| row["sentence"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(rose("reason IS NULL"), ["It has five petals.", "The red rose has thorns."]);
    assert_eq!(rose("reason = 'names another class: white lily'").len(), 2);
    assert_eq!(rose("reason LIKE 'too long: % tokens, of which the model reads %'").len(), 2);
    assert_eq!(file(&pipeline)["red rose"], json!(["It has five petals.", "The red rose has thorns."]));
}

#[test]
fn a_kill_loses_the_answer_in_hand_and_no_other() {
    let server = Server::new(|_, _| Reply::Late(Duration::from_millis(80), Box::new(Reply::Well)));
    let pipeline = asking(&server);
    let mut command = without_keys(pipeline.command("describe", &["--set", "describe.concurrency=1"]));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while server.count() < 6 {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (asked, kept) = (server.count(), count(&pipeline, "llm_answers") as usize);
    assert!(kept + 1 == asked || kept == asked, "{kept} of {asked}");
    ok(&describe(&pipeline, &[]));
    assert_eq!(server.count(), asked + QUESTIONS - kept);
    assert_eq!(file(&pipeline)["white lily"].as_array().unwrap().len(), 12);
    // Parts of one answer each are brought together.
    let parts = entries(&entries(&pipeline.path("store/llm_answers"))[0]);
    assert_eq!(parts.iter().filter(|part| part.extension() == Some("parquet".as_ref())).count(), 1);
}

/// Asks for a stop once a server was asked `many` times. Returns what came of it, and how long it
/// took.
fn stopped(mut command: Command, server: &Server, many: usize) -> (Output, Duration) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while server.count() < many {
        std::thread::sleep(Duration::from_millis(2));
    }
    let began = Instant::now();
    // SAFETY: the process is a child that was not waited for.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
    (child.wait_with_output().unwrap(), began.elapsed())
}

#[test]
fn a_stop_does_not_wait_for_a_silent_server_and_keeps_what_was_answered() {
    let silent = || Reply::Late(Duration::from_secs(40), Box::new(Reply::Well));
    let server = Server::new(move |_, number| if (5..7).contains(&number) { silent() } else { Reply::Well });
    let pipeline = asking(&server);
    let (output, took) =
        stopped(without_keys(pipeline.command("describe", &["--set", "describe.concurrency=2"])), &server, 7);
    fails(&output, 130, &["stopped on request", "a sentence: ", "white lily"]);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(count(&pipeline, "llm_answers"), 5);
    ok(&describe(&pipeline, &[]));
    assert_eq!(server.count(), QUESTIONS + 2, "the two in hand are asked again");

    // Nor for one that was silent from the start, or asked to wait.
    let wait = || Reply::Status(429, "retry-after: 40\r\n", String::new());
    let server = Server::new(move |_, number| if number == 0 { wait() } else { silent() });
    let pipeline = asking(&server);
    let (output, took) =
        stopped(without_keys(pipeline.command("describe", &["--set", "describe.concurrency=2"])), &server, 2);
    fails(&output, 130, &["stopped on request"]);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn what_ends_one_thread_ends_those_that_wait() {
    // The server asks to wait once it has all three: before, a thread would rightly heed that.
    let all = Barrier::new(3);
    let server = Server::new(move |_, number| {
        if number < 3 {
            all.wait();
        }
        match number {
            0 => Reply::Status(429, "retry-after: 40\r\n", String::new()),
            1 => Reply::Late(Duration::from_secs(40), Box::new(Reply::Well)),
            _ => Reply::Late(Duration::from_millis(300), Box::new(Reply::Status(401, "", String::new()))),
        }
    });
    let (pipeline, began) = (asking(&server), Instant::now());
    fails(&describe(&pipeline, &["--set", "describe.concurrency=3"]), 1, &["refuses the key (401)"]);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

/// What servers in the wild send in place of a plain answer.
#[test]
fn odd_answers_are_read_or_asked_for_again_and_none_steers_the_terminal() {
    let answer = |content: Value, usage: Value| {
        let choice = json!({"message": {"role": "assistant", "content": content}, "finish_reason": "stop"});
        Reply::Status(200, "", json!({"choices": [choice], "usage": usage, "model": "\u{1b}[2Jevil"}).to_string())
    };
    let list = |seen: &Seen| json!({"sentences": sentences(seen)}).to_string();
    let server = Server::new(move |seen, number| match number {
        0 => answer(format!("Sure!\n```json\n{}\n```\nAnything else?", list(seen)).into(), Value::Null),
        1 => answer(
            format!("<think>\nIs {{it}} red?\n</think>\n{}", list(seen)).into(),
            json!({"prompt_tokens": u64::MAX, "completion_tokens": -4}),
        ),
        2 => answer(Value::Null, Value::Null),
        3 => Reply::Status(200, "", json!({"choices": [], "usage": null}).to_string()),
        4 => answer("<think>It may be red, or not.".into(), Value::Null),
        5 => Reply::Status(200, "", json!({"choices": null, "error": {"message": "busy", "code": 503}}).to_string()),
        6 => Reply::Status(200, "", "x".repeat(20 << 20)),
        7 => {
            let coloured = sentences(seen).into_iter().map(|text| format!("\u{1b}[31m{text}\u{1b}[0m\u{202e}\u{7}"));
            answer(json!({"sentences": coloured.collect::<Vec<_>>()}).to_string().into(), Value::Null)
        }
        8 => Reply::Status(500, "", "\u{1b}[31mno\u{1b}[0m".to_owned()),
        _ => Reply::Well,
    });
    let pipeline = asking(&server);
    let output = describe(&pipeline, &["--set", "describe.concurrency=1", "--set", "describe.retries=9"]);
    assert!(ok(&output).contains("36 about 3 of 3 classes"), "{}", said(&output));
    assert!(said(&output).contains("written, estimated"), "{}", said(&output));
    assert_eq!(server.count(), QUESTIONS + 6);
    let steers = |text: &str| text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
    let text = std::fs::read_to_string(pipeline.path("sentences.json")).unwrap();
    assert!(!steers(&text) && !text.contains("\\u001b") && !text.contains("[31m"), "{text}");
    assert!(!steers(&said(&output)), "{:?}", said(&output));
    assert_eq!(count(&pipeline, "llm_answers WHERE answered_by = 'evil'"), 3);

    // What comes with a status of 200 and means a refusal is one.
    let body = json!({"error": {"message": "no such key", "code": 401}}).to_string();
    let server = Server::new(move |_, _| Reply::Status(200, "", body.clone()));
    fails(&describe(&asking(&server), &[]), 1, &["refuses the key (401: no such key)"]);
    // Something that is no language model.
    let server = Server::new(|_, _| Reply::Status(200, "", "<html>\u{1b}[31mhome</html>".to_owned()));
    let words = ["answers no question: no answer of a chat: <html>home</html>"];
    fails(&describe(&asking(&server), &["--set", "describe.retries=1"]), 1, &words);
}

#[test]
fn a_pipeline_file_does_not_decide_who_sees_the_key() {
    let server = Server::new(|_, _| Reply::Well);
    let pipeline = asking(&server);
    let mut command =
        without_keys(pipeline.command("describe", &["--set", "describe.endpoint=https://harvest.invalid/v1"]));
    let words = ["OPENAI_API_KEY is not sent to harvest.invalid", "export OPENAI_BASE_URL=https://harvest.invalid/v1"];
    fails(&command.env("OPENAI_API_KEY", "sk-0123456789abcdef").output().unwrap(), 2, &words);
    assert_eq!(count(&pipeline, "llm_answers"), 0);
}

#[test]
fn a_dry_run_says_how_to_fetch_the_classes() {
    let server = Server::new(|_, _| Reply::Well);
    let pipeline = asking(&server);
    let on_hub = ["--dry-run", "--set", "dataset.path=hf://datasets/ada/flowers", "--set", "dataset.kind=hf-parquet"];
    let mut command = without_keys(pipeline.command("describe", &on_hub));
    let output = command.env("HF_HOME", pipeline.path("hub")).env("HF_ENDPOINT", "http://127.0.0.1:9").output();
    fails(
        &output.unwrap(),
        1,
        &["hf://datasets/ada/flowers is not in", "a dry run fetches nothing: `microclip-pipe ingest` fetches"],
    );
}

#[test]
fn requests_are_as_many_a_minute_as_allowed() {
    let server = Server::new(|_, _| Reply::Well);
    let pipeline = asking(&server);
    ok(&describe(&pipeline, &["--set", "describe.requests_per_minute=1200"]));
    let seen = server.seen();
    let took = seen[QUESTIONS - 1].at - seen[0].at;
    assert!(took >= Duration::from_millis(50 * (QUESTIONS as u64 - 2)), "{took:?}");
}

#[test]
fn look_alikes_of_a_run_are_told_apart() {
    let server = Server::new(|_, _| Reply::Well);
    let pipeline = asking(&server);
    ok(&describe(&pipeline, &[]));
    fails(&describe(&pipeline, &["--contrast"]), 1, &["no run of this pipeline has look-alikes yet"]);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let pairs = pipeline
        .sql("SELECT class, other FROM look_alikes WHERE swaps + moved > 0 ORDER BY swaps + moved DESC, class, other");
    assert!(!pairs.is_empty(), "the run moved no answer: it is of no use here");
    let dry = ok(&describe(&pipeline, &["--contrast", "1", "--dry-run"]));
    assert!(dry.contains("1 pair of look-alikes") && dry.contains("2 to ask"), "{dry}");
    ok(&describe(&pipeline, &["--contrast", "1"]));
    let new: Vec<Seen> = server.seen().split_off(QUESTIONS);
    let told: Vec<(String, String)> = new
        .iter()
        .map(|seen| {
            let names: Vec<&str> = seen.question().split('"').collect();
            (names[1].to_owned(), names[3].to_owned())
        })
        .collect();
    let (one, other) = (pairs[0]["class"].as_str().unwrap().to_owned(), pairs[0]["other"].as_str().unwrap().to_owned());
    assert!(
        told.len() == 2 && told.contains(&(one.clone(), other.clone())) && told.contains(&(other.clone(), one.clone()))
    );
    // They join the sentences of before, and stay when the classes are described again.
    for _ in 0..2 {
        assert_eq!(file(&pipeline)[&one].as_array().unwrap().len(), 16);
        assert_eq!(count(&pipeline, &format!("llm_sentences WHERE class = '{one}' AND other = '{other}'")), 4);
        ok(&describe(&pipeline, &[]));
    }
    assert_eq!(server.count(), QUESTIONS + 2);
}

#[test]
fn a_run_recommends_to_tell_apart_what_was_not_told_apart() {
    let server = Server::new(|_, _| Reply::Well);
    let pipeline = asking(&server);
    ok(&describe(&pipeline, &[]));
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let recommended = || {
        let mut run = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
        run.args(["run", "pipeline.toml", "--set", "adapt.tune=head"]).current_dir(pipeline.folder.path());
        let mut terminal = Terminal::start(run);
        terminal.wait_for("report pipeline.toml --open");
        terminal.text()
    };
    let said = recommended();
    assert!(said.contains("describe pipeline.toml --contrast"), "{said}");

    // With the sentences of before, the run is the same, and so are its look-alikes.
    let before = std::fs::read_to_string(pipeline.path("sentences.json")).unwrap();
    ok(&describe(&pipeline, &["--contrast"]));
    pipeline.write("sentences.json", &before);
    let said = recommended();
    assert!(said.contains("is finished") && !said.contains("--contrast"), "{said}");
}

/// Sentences are trained on, so labels must not choose what is asked.
#[test]
fn look_alikes_are_chosen_without_labels() {
    let server = Server::new(|_, _| Reply::Close);
    let pipeline = Pipeline::new(4, 2);
    let (model, endpoint) = ("describe.model=m", format!("describe.endpoint={}", server.endpoint()));
    let mut wrong = "path,split,label\n".to_owned();
    for (split, class) in ["test", "train"].iter().flat_map(|split| CLASSES.map(|class| (split, class))) {
        for path in entries(&pipeline.path(&format!("pictures/{split}/{}", class.replace(' ', "_")))) {
            wrong += &format!("{},{split},{}\n", path.display(), CLASSES[0]);
        }
    }
    pipeline.write("wrong.csv", &wrong);
    pipeline.write("classes.txt", &CLASSES.join("\n"));
    let chosen = || {
        pipeline.ok("run", &["--set", "adapt.tune=head"]);
        let plan = pipeline.command("describe", &["--contrast", "--dry-run", "--set", model, "--set", &endpoint]);
        let plan = ok(&without_keys(plan).output().unwrap());
        let confused = pipeline.sql("SELECT sum(confused) AS n FROM look_alikes")[0]["n"].clone();
        (plan.lines().filter(|line| line.starts_with("pair")).map(str::to_owned).collect::<Vec<_>>(), confused)
    };
    let rightly = chosen();
    pipeline.spec("small", "kind = \"list\"\npath = \"wrong.csv\"\nclasses = \"classes.txt\"");
    let wrongly = chosen();
    assert!(!rightly.0.is_empty() && rightly.0 == wrongly.0, "{rightly:?} {wrongly:?}");
    assert_ne!(rightly.1, wrongly.1, "the labels are others");
}

#[test]
fn the_environment_names_the_server_and_has_the_key() {
    let server = Server::new(|_, _| Reply::Well);
    let pipeline = asking(&server);
    let named = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    let unnamed: String =
        named.lines().filter(|line| !line.starts_with("endpoint")).map(|line| format!("{line}\n")).collect();
    pipeline.write("pipeline.toml", &unnamed);
    fails(&describe(&pipeline, &[]), 2, &["api.openai.com wants a key, and OPENAI_API_KEY is not set"]);
    let mut command = without_keys(pipeline.command("describe", &[]));
    command.env("OPENAI_BASE_URL", server.endpoint()).env("OPENAI_API_KEY", "sk-0123456789");
    ok(&command.output().unwrap());
    let seen = server.seen();
    assert!(
        seen.len() == QUESTIONS
            && seen.iter().all(|seen| seen.authorization.as_deref() == Some("Bearer sk-0123456789"))
    );
    assert!(seen.iter().all(|seen| seen.path == "/v1/chat/completions"));
}

#[test]
fn nothing_is_asked_where_nothing_can_be_written() {
    let server = Server::new(|_, _| Reply::Words(chat("never")));
    let pipeline = asking(&server);
    pipeline.write("sentences.json", "[1]");
    fails(&describe(&pipeline, &[]), 1, &["sentences.json"]);
    pipeline.write("words.json", "[\"red\"]");
    let words = ["--set", "text.layout=words", "--set", "text.descriptions=words.json"];
    fails(&describe(&pipeline, &words), 2, &["words.json has words, and `describe` writes sentences"]);
    fails(&describe(&pipeline, &["--set", "text.descriptions=none/a.json"]), 2, &["there is no folder"]);
    fails(&describe(&pipeline, &["--set", "describe.endpoint=localhost:8000"]), 2, &["describe.endpoint: not an"]);
    // Nor does a run keep an address with a password in it.
    add(&pipeline, "price_in = 1\n");
    let named = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    pipeline.write("secret.toml", &named.replace("endpoint = \"http://", "endpoint = \"http://me:hunter2@"));
    let path = pipeline.path("secret.toml");
    let run = pipeline.program(&["run", path.to_str().unwrap(), "--dry-run"]);
    fails(&run, 2, &["describe.endpoint: an address with a user, a password or a query"]);
    assert!(!said(&run).contains("hunter2"));
    pipeline.write("own.toml", "describe = ['What is it?']");
    fails(
        &describe(&pipeline, &["--set", "describe.questions=own.toml"]),
        2,
        &["question 1 of 'describe' has no {class}"],
    );
    assert_eq!(server.count(), 0);
}

#[test]
fn published_layouts_become_prompts() {
    let pipeline = Pipeline::new(1, 1);
    let read = |rest: &[&str]| {
        pipeline.ok("embed", &[&["--without-views"], rest].concat());
        let rows = pipeline
            .sql("SELECT sentence FROM descriptions WHERE kind = 'description' AND class_id = 1 ORDER BY index");
        rows.into_iter().map(|row| row["sentence"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    pipeline.write(
        "dclip.json",
        r#"{"blue bell": ["bells"], "red rose": ["five petals", "a thorny stem"], "white lily": ["white"]}"#,
    );
    let dclip = ["--set", "text.descriptions=dclip.json", "--set", "text.layout=descriptors"];
    assert_eq!(
        read(&dclip),
        ["a photo of a red rose, which has five petals.", "a photo of a red rose, which is a thorny stem."]
    );
    pipeline.write("words.txt", "foot\nxbq rl\n");
    let words =
        ["--set", "text.descriptions=words.txt", "--set", "text.layout=words", "--set", "text.templates=['{}']"];
    assert_eq!(read(&words), ["red rose, which has foot.", "red rose, which has xbq rl."]);
    // What is read as sentences by mistake is said.
    let legs = json!(CLASSES.map(|_| vec!["two legs"; 6]));
    let many: serde_json::Map<String, Value> =
        CLASSES.iter().zip(legs.as_array().unwrap()).map(|(class, list)| ((*class).to_owned(), list.clone())).collect();
    pipeline.write("dclip.json", &Value::Object(many).to_string());
    let said = said(&pipeline.output("embed", &["--without-views", "--set", "text.descriptions=dclip.json"]));
    assert!(said.contains("text.layout = \"descriptors\" makes prompts of them"), "{said}");
}
