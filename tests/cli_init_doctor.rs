//! The real binary's `init` and `doctor`: from a folder to a pipeline file, and whether all is
//! there that a run needs.

use std::process::Output;

use crate::pipeline::{Pipeline, entries};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/clip-flora");

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_file_that_init_writes_runs() {
    let pipeline = Pipeline::new(2, 1);
    let written = ok(&pipeline.program(&["init", "pictures", "--model", MODEL]));
    assert_eq!(written, "pictures.toml\npictures-sentences.json\n");
    let sentences = std::fs::read_to_string(pipeline.path("pictures-sentences.json")).unwrap();
    assert!(sentences.contains("\"red rose\": []"), "{sentences}");
    ok(&pipeline.program(&["doctor", "pictures.toml"]));
    let quick = ["--set", "adapt.epochs=1", "--set", "views.count=1", "--device", "cpu", "--threads", "1"];
    let table = ok(&pipeline.program(&[&["run", "pictures.toml"], &quick[..]].concat()));
    assert!(table.contains("adapted"), "{table}");

    let again = pipeline.program(&["init", "pictures", "--model", MODEL]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("pictures.toml is there already, and is left as it is"));
}

#[test]
fn pictures_without_labels_get_a_list_of_classes_to_fill_in() {
    let pipeline = Pipeline::new(0, 0);
    for n in 0..3 {
        pipeline.picture(&format!("My Shots/{n}.png"), 0, n);
    }
    let written = ok(&pipeline.program(&["init", "My Shots", "--model", MODEL]));
    assert_eq!(written, "my-shots.toml\nmy-shots-classes.txt\nmy-shots-sentences.json\n");
    let doctor = pipeline.program(&["doctor", "my-shots.toml"]);
    assert_eq!(doctor.status.code(), Some(1), "the list is empty");
    assert!(text(&doctor.stdout).contains("to mend: one class name a line"), "{}", text(&doctor.stdout));
    pipeline.write("my-shots-classes.txt", "red rose\nwhite lily\n");
    ok(&pipeline.program(&["doctor", "my-shots.toml"]));
}

#[test]
fn init_needs_pictures_and_a_model() {
    let pipeline = Pipeline::new(1, 0);
    for (arguments, why) in [
        (&["init", "nothing"][..], "does not exist"),
        (&["init", "pictures"], "no model is in"),
        (&["init", "pictures", "--model", MODEL, "--output", "none/a.toml"], "there is no folder"),
    ] {
        let refused = pipeline.program(arguments);
        assert!(!refused.status.success());
        assert!(text(&refused.stderr).contains(why), "{arguments:?}: {}", text(&refused.stderr));
    }
    assert!(entries(pipeline.folder.path()).iter().all(|path| !path.ends_with("pictures.toml")));
}

#[test]
fn doctor_and_run_say_which_sentences_are_too_long() {
    let pipeline = Pipeline::new(1, 1);
    pipeline.ok("doctor", &[]);
    let long = vec!["petal"; 60].join(" ");
    let words = format!(
        "{{\"blue bell\": [\"It is blue.\"], \"red rose\": [\"{long}\", \"It is red.\"], \"white lily\": [\"It is white.\"]}}"
    );
    pipeline.write("sentences.json", &words);
    let cut = format!(
        "1 of 7 sentences is longer than the model's 48 tokens and is cut; the first: 'red rose': '{}…'",
        &long[..60]
    );
    let shown = pipeline.ok("doctor", &[]);
    assert!(shown.contains(&format!("7 different ones; {cut}")) && shown.contains("to mend: shorten them"), "{shown}");
    // What is cached is as short.
    for seed in ["0", "1"] {
        let said = text(&pipeline.output("run", &["--set", "adapt.tune=none", "--seed", seed]).stderr);
        assert!(said.contains(&format!("warning: {cut}")), "{said}");
    }
    let rows = pipeline.sql("SELECT sentence, tokens FROM text_features WHERE cut");
    assert_eq!(rows, [serde_json::json!({"sentence": long, "tokens": 62})]);
}

#[test]
fn doctor_says_what_is_broken_and_what_mends_it() {
    let pipeline = Pipeline::new(2, 1);
    let well = ok(&pipeline.program(&["doctor"]));
    assert!(well.contains("libtorch  2.11"), "{well}");
    let well = pipeline.ok("doctor", &[]);
    for line in ["model", "9 files, 3 classes", "which a run will make"] {
        assert!(well.contains(line), "no {line} in {well}");
    }

    pipeline.ok("ingest", &[]);
    let part = entries(&entries(&pipeline.path("store/images")).remove(0)).remove(0);
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    pipeline.write("sentences.json", "{\"red rose\": [\"It is red.\"]}");
    let ill = pipeline.output("doctor", &[]);
    assert_eq!(ill.status.code(), Some(1));
    let shown = text(&ill.stdout);
    for line in ["broken  sentences", "no sentence about 'blue bell'", "broken  parts", "to mend: microclip-pipe run"] {
        assert!(shown.contains(line), "no {line} in {shown}");
    }
    assert!(text(&ill.stderr).contains("2 things are broken"));

    let slip = pipeline.output("doctor", &["--set", "adapt.epoch=1"]);
    assert_eq!(slip.status.code(), Some(2));
    assert!(text(&slip.stdout).contains("broken  pipeline"));
}
