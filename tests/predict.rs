//! The real binary's `predict`: the answers of the table `predictions`, for pictures that are read
//! from their files.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use parquet::arrow::ArrowWriter;

use crate::pipeline::{Pipeline, copy, entries};

/// Path, class and probability of each picture, as `predict --format json` gives them.
pub fn predicted(pipeline: &Pipeline, arguments: &[&str]) -> BTreeMap<String, (String, f64)> {
    let arguments = [arguments, &["--format", "json", "--quiet"]].concat();
    let rows = pipeline.ok("predict", &arguments);
    let rows = rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.map(|row| {
        let text = |column: &str| row[column].as_str().unwrap().to_owned();
        (text("path"), (text("class"), row["probability"].as_f64().unwrap()))
    })
    .collect()
}

/// The same of the table `predictions`, for the test split, with confidences as the table has them.
pub fn stored(pipeline: &Pipeline) -> BTreeMap<String, (String, f64)> {
    let rows = pipeline.sql(
        "SELECT i.path, class_name(p.class_id) AS class, p.confidence FROM predictions p JOIN images i USING (image_id) \
         WHERE p.split = 'test' AND p.run = (SELECT run FROM runs ORDER BY started DESC LIMIT 1)",
    );
    rows.iter()
        .map(|row| {
            let text = |column: &str| row[column].as_str().unwrap().to_owned();
            (text("path"), (text("class"), row["confidence"].as_f64().unwrap()))
        })
        .collect()
}

#[test]
fn pictures_are_answered_as_in_the_table_of_predictions() {
    let pipeline = Pipeline::new(6, 3);
    let test = pipeline.path("pictures/test");
    for settings in [
        vec!["adapt.tune=head"],
        vec!["adapt.tune=head", "fusion.coarse=composite", "predict.gamma=0.5"],
        vec!["adapt.tune=layernorm", "adapt.epochs=1", "fusion.query=random"],
        vec!["adapt.tune=layernorm", "adapt.from_block=2", "adapt.epochs=1"],
    ] {
        let set: Vec<&str> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
        pipeline.ok("run", &set);
        // Confidences of the table are not calibrated: a temperature moves them all the same way,
        // and no answer.
        let temperature = pipeline.sql("SELECT temperature FROM runs ORDER BY started DESC LIMIT 1");
        let temperature = temperature[0]["temperature"].as_f64().expect("the run was measured");
        let answers = predicted(&pipeline, &[test.to_str().unwrap()]);
        let table = stored(&pipeline);
        assert_eq!(answers.len(), 9);
        for (path, (class, confidence)) in &table {
            let (answer, probability) = &answers[path];
            assert_eq!(answer, class, "{settings:?}: {path}");
            let ordered = (probability - confidence) * (1.0 - temperature);
            assert!(ordered >= -1e-4, "{settings:?}: {path}: {probability} at {temperature}, {confidence} at 1");
        }
    }
}

#[test]
fn lists_files_and_folders_are_answered_and_bad_files_are_named() {
    let pipeline = Pipeline::new(4, 2);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let rose = entries(&pipeline.path("pictures/test/red_rose")).remove(0);
    std::fs::create_dir(pipeline.path("new")).unwrap();
    pipeline.write("new/list.csv", &format!("path\n{}\n", rose.display()));
    pipeline.write("new/broken.png", "no picture");
    let whole = pipeline.output("predict", &[rose.to_str().unwrap(), "--top", "2", "--format", "csv"]);
    let text = String::from_utf8(whole.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "path,rank,class,probability"));
    assert!(lines[1].starts_with(&format!("{},1,", rose.display())), "{text}");
    assert!(lines[2].starts_with(&format!("{},2,", rose.display())), "{text}");
    let note = String::from_utf8(whole.stderr).unwrap();
    assert!(note.contains("fitted on pseudo-labels, not on true labels"), "{note}");

    let (folder, list) = (pipeline.path("new"), pipeline.path("new/list.csv"));
    let mixed = pipeline.output("predict", &[list.to_str().unwrap(), folder.to_str().unwrap(), "--format", "json"]);
    assert_eq!(mixed.status.code(), Some(3), "one of two is more than dataset.tolerance allows");
    assert_eq!(String::from_utf8(mixed.stdout).unwrap().lines().count(), 1, "the good one is answered");
    let said = String::from_utf8(mixed.stderr).unwrap();
    assert!(said.contains("broken.png: unknown_format: "), "{said}");

    let nowhere = pipeline.output("predict", &["nowhere.jpg"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8(nowhere.stderr).unwrap().contains("there is no picture, folder or list nowhere.jpg"));
}

#[test]
fn a_picture_beyond_a_limit_is_answered_once_the_pipeline_file_has_the_key_that_the_rejection_names() {
    let pipeline = Pipeline::new(4, 1);
    let limits = |side: u32| format!("\n[dataset.limits]\nmax_side = {side}\n");
    let file = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    pipeline.write("pipeline.toml", &(file.clone() + &limits(500)));
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    image::RgbImage::from_fn(700, 40, |x, y| image::Rgb([x as u8, y as u8, 9]))
        .save(pipeline.path("wide.bmp"))
        .unwrap();
    let wide = pipeline.path("wide.bmp");
    let refused = pipeline.output("predict", &[wide.to_str().unwrap()]);
    let said = String::from_utf8(refused.stderr).unwrap();
    let detail =
        "wide.bmp: side_too_long: 700 x 40 pixels, longer than dataset.limits.max_side = 500; a larger value admits";
    assert!(said.contains(detail), "{said}");
    pipeline.write("pipeline.toml", &(file + &limits(900)));
    assert!(pipeline.ok("predict", &[wide.to_str().unwrap(), "--format", "csv"]).contains("wide.bmp"));
}

#[test]
fn a_run_is_found_by_the_beginning_or_the_end_of_its_id_alone() {
    let pipeline = Pipeline::new(4, 1);
    for seed in ["0", "1"] {
        pipeline.ok("run", &["--set", "adapt.tune=head", "--seed", seed]);
    }
    let store = pipeline.path("store");
    let test = pipeline.path("pictures/test");
    let predict = |run: &str| {
        let arguments = ["predict", run, test.to_str().unwrap(), "--store", store.to_str().unwrap(), "--quiet"];
        pipeline.program(&arguments)
    };
    assert!(predict("small-head-s0").status.success());
    let run = pipeline.sql("SELECT run FROM runs WHERE seed = 1")[0]["run"].as_str().unwrap().to_owned();
    assert!(predict(&run[run.len() - 8..]).status.success());
    for (name, said) in
        [("small", "2 runs begin or end with 'small'"), ("other", "no run that begins or ends with 'other'")]
    {
        let refused = predict(name);
        assert_eq!(refused.status.code(), Some(2));
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(text.contains(said) && text.contains(&run), "{text}");
    }
}

#[test]
fn a_run_without_a_model_and_a_changed_model_are_refused() {
    let pipeline = Pipeline::new(4, 1);
    pipeline.ok("run", &["--set", "adapt.tune=none"]);
    let test = pipeline.path("pictures/test");
    let refused = pipeline.output("predict", &[test.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("it has no adapted model"));
}

/// Classes are known by their order, and a frozen classifier by its sentences: what they are now
/// decides what an answer says.
#[test]
fn classes_and_sentences_that_the_run_was_not_made_from_are_refused() {
    let pipeline = Pipeline::new(4, 1);
    let test = pipeline.path("pictures/test");
    let test = test.to_str().unwrap();
    let mixed = ["--set", "adapt.tune=head", "--set", "predict.gamma=0.5"];
    pipeline.ok("run", &["--set", "adapt.tune=head", "--seed", "1"]);
    pipeline.ok("run", &mixed);
    let predict = |run: &str| pipeline.program(&["predict", run, test, "--store", "store", "--quiet"]);
    let refused = |run: &str, what: &str| {
        let output = predict(run);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(what) && said.contains("are not those that run 'small-head-"), "{said}");
    };
    assert!(predict("small-head-s0").status.success() && predict("small-head-s1").status.success());

    let sentences = std::fs::read_to_string(pipeline.path("sentences.json")).unwrap();
    pipeline.write("sentences.json", &sentences.replacen("flower", "plant", 1));
    refused("small-head-s0", "the sentences about the classes, now in");
    assert!(predict("small-head-s1").status.success(), "a learned classifier answers without sentences");
    std::fs::remove_file(pipeline.path("sentences.json")).unwrap();
    assert!(predict("small-head-s1").status.success(), "also where they are gone");
    pipeline.write("sentences.json", "{}");
    let asked = pipeline.output("sql", &["SELECT count(*) FROM images"]);
    let said = String::from_utf8(asked.stderr).unwrap();
    assert!(asked.status.success() && said.contains("text_features is left empty"), "{said}");

    // The same three classes, another name for one of them: ids go by the alphabet, so all move.
    pipeline.write("sentences.json", &sentences.replace("red rose", "a rose"));
    for split in ["train", "test"] {
        let folder = pipeline.path("pictures").join(split);
        std::fs::rename(folder.join("red_rose"), folder.join("a_rose")).unwrap();
    }
    pipeline.ok("ingest", &[]);
    for run in ["small-head-s0", "small-head-s1"] {
        refused(run, "the classes of the dataset at");
        let report = pipeline.output("report", &["--run", run]);
        let said = String::from_utf8(report.stderr).unwrap();
        assert!(report.status.code() == Some(1) && said.contains("the classes of the dataset at"), "{said}");
    }
    let asked = pipeline.output("sql", &["SELECT * FROM per_class"]);
    let said = String::from_utf8(asked.stderr).unwrap();
    assert!(asked.status.success() && said.contains("warning: the dataset had other classes when runs"), "{said}");

    // A run of today's classes has nothing to do with it.
    pipeline.ok("run", &["--set", "adapt.tune=head", "--seed", "3"]);
    let page = pipeline.path("page.html");
    pipeline.ok("report", &["--run", "small-head-s3", "--output", page.to_str().unwrap()]);
    assert!(!std::fs::read_to_string(page).unwrap().contains("had other classes"));

    // Without any, there is nothing to name answers by.
    std::fs::remove_dir_all(pipeline.path("store/classes")).unwrap();
    let none = predict("small-head-s1");
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(none.status.code() == Some(1) && said.contains("the store has no classes of dataset"), "{said}");
}

/// What a model is besides its weights decides what it computes.
#[test]
fn another_configuration_of_the_same_weights_is_another_model() {
    let pipeline = Pipeline::new(4, 1);
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora");
    copy(&from, &pipeline.path("model"));
    let model = ["--set", "model.path=model", "--set", "adapt.tune=head"];
    let first = pipeline.ok("run", &model);
    let test = pipeline.path("pictures/test");
    let predict =
        || pipeline.program(&["predict", "small-head-s0", test.to_str().unwrap(), "--store", "store", "--quiet"]);
    assert!(predict().status.success());
    for (file, was, is) in [("preprocessor_config.json", "0.4814", "0.3814"), ("config.json", "quick_gelu", "gelu")] {
        let path = pipeline.path("model").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(was), "{file}");
        std::fs::write(&path, text.replace(was, is)).unwrap();
        let said = String::from_utf8(predict().stderr).unwrap();
        assert!(said.contains("of the model at") && said.contains("are not those that run"), "{said}");
        std::fs::write(&path, &text).unwrap();
    }
    let config = pipeline.path("model/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("quick_gelu", "gelu")).unwrap();
    let again = pipeline.output("run", &model);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(!said.contains("is finished"), "{said}");
    let anew = pipeline.path("anew");
    let anew = [&model[..], &["--store", anew.to_str().unwrap()]].concat();
    assert_eq!(String::from_utf8(again.stdout).unwrap(), pipeline.ok("run", &anew), "as from nothing");
    assert!(!first.is_empty());
}

/// The rows of `--format json`, in their order.
fn rows(output: &Output) -> Vec<serde_json::Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Answers what comes on standard input.
fn answered(pipeline: &Pipeline, input: &[u8], rest: &[&str]) -> Output {
    let mut command = pipeline.command("predict", &[&["-", "--format", "json"], rest].concat());
    command.current_dir(pipeline.folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    output
}

#[test]
fn paths_on_standard_input_are_answered_in_their_order() {
    let pipeline = Pipeline::new(4, 2);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    pipeline.picture("b new\nline.png", 0, 7);
    pipeline.picture("a.png", 1, 8);
    pipeline.write("broken.png", "no picture");
    let paths = |output: &Output| -> Vec<String> {
        rows(output).iter().map(|row| row["path"].as_str().unwrap().to_owned()).collect()
    };
    let tolerant = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    let tolerant = tolerant.replace("path = \"pictures\"", "path = \"pictures\"\ntolerance = 0.9");
    pipeline.write("pipeline.toml", &tolerant);

    // A folder among them stands for its pictures.
    let lines = "./a.png\r\nbroken.png\n\nnowhere.png\npictures/test/white_lily\na.png";
    let output = answered(&pipeline, lines.as_bytes(), &[]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lilies = ["pictures/test/white_lily/1000.png", "pictures/test/white_lily/1001.png"];
    assert_eq!(paths(&output), ["./a.png", lilies[0], lilies[1], "a.png"]);
    for line in [
        "as many images as come",
        "rejected: broken.png: unknown_format",
        "rejected: nowhere.png: unreadable: No such file",
        "4 answered, 2 rejected",
    ] {
        assert!(said.contains(line), "no {line} in {said}");
    }

    for (input, rest, expected) in [
        (&b"b new\nline.png\0a.png\0"[..], &[][..], &["b new\nline.png", "a.png"][..]),
        (b"b new\nline.png\0a.png\0", &["--null"], &["b new\nline.png", "a.png"]),
        (b"b new\nline.png", &["-0"], &["b new\nline.png"]),
    ] {
        assert_eq!(paths(&answered(&pipeline, input, rest)), expected, "{rest:?}");
    }
    // What is worth knowing of a list is said when its turn comes.
    pipeline.write("list.tsv", "file_name\tby\na.png\tme\n");
    let output = answered(&pipeline, b"list.tsv", &[]);
    assert_eq!(paths(&output), ["a.png"]);
    assert!(text(&output.stderr).contains("list.tsv: column by is left aside"), "{}", text(&output.stderr));
    assert!(paths(&answered(&pipeline, b"", &[])).is_empty());

    let picture = std::fs::read(pipeline.path("a.png")).unwrap();
    for (input, rest, why) in [
        (&picture[..], &[][..], "standard input is a picture, not a list of paths"),
        (&[b'x'; 100_000], &[], "path 1 on standard input is longer than 64 KiB"),
        (b"a.png", &["-"], "- is given twice"),
    ] {
        let refused = answered(&pipeline, input, rest);
        assert!(!refused.status.success() && text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
    let unread = pipeline.output("predict", &["a.png", "--null"]);
    assert!(unread.status.code() == Some(2) && text(&unread.stderr).contains("--null is about paths"));
}

/// More than a pipe and a batch hold: whoever reads a few rows and leaves ends it without a word.
#[test]
fn a_reader_who_has_seen_enough_ends_it_quietly() {
    let pipeline = Pipeline::new(4, 2);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let path = pipeline.path("pictures/test/white_lily/1000.png");
    let mut command = pipeline.command("predict", &["-", "--format", "csv", "--quiet"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = format!("{}\n", path.display());
    // It takes as many as it is given, and none is kept.
    let writer = std::thread::spawn(move || while stdin.write_all(lines.as_bytes()).is_ok() {});
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "path,rank,class,probability\n");
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn lists_and_parquet_are_answered_in_their_order_whatever_their_labels_say() {
    let pipeline = Pipeline::new(4, 2);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let test = |class: &str| pipeline.path(&format!("pictures/test/{class}/1000.png"));
    let (rose, lily, bell) = (test("red_rose"), test("white_lily"), test("blue_bell"));
    // Splits and labels of another tool, in an order that is not the alphabet's.
    let lines = [&rose, &bell, &lily].map(|path| format!("{}\tholdout\t17\tmine", path.display()));
    pipeline.write("list.tsv", &format!("file_name\tsplit\tlabel\tby\n{}\n", lines.join("\n")));
    let parquet = |name: &str, pictures: &[Option<Vec<u8>>], label: &str| {
        let bytes: ArrayRef = Arc::new(BinaryArray::from_iter(pictures));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..pictures.len()).map(|n| format!("p{n}.png"))));
        let field = |name: &str, kind| Field::new(name, kind, true);
        let fields = Fields::from(vec![field("bytes", DataType::Binary), field("path", DataType::Utf8)]);
        let image: ArrayRef = Arc::new(StructArray::new(fields, vec![bytes, names], None));
        let labels: ArrayRef = Arc::new(StringArray::from_iter_values(pictures.iter().map(|_| label)));
        let batch = RecordBatch::try_from_iter([("image", image), ("label", labels)]).unwrap();
        std::fs::create_dir_all(pipeline.path(name).parent().unwrap()).unwrap();
        let file = std::fs::File::create(pipeline.path(name)).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    };
    let read = |path: &PathBuf| Some(std::fs::read(path).unwrap());
    parquet("shots.parquet", &[read(&lily), Some(b"no picture".to_vec()), None, read(&rose)], "unheard of");
    parquet("hub/data/shard.parquet", &[read(&bell)], "unheard of");
    let arguments = ["list.tsv", "shots.parquet", "hub"].map(|name| pipeline.path(name).display().to_string());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = pipeline.output("predict", &[&arguments[..], &["--format", "json"]].concat());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "two of eight are more than is tolerated: {said}");
    let found = rows(&output);
    let names: Vec<&str> = found.iter().map(|row| row["path"].as_str().unwrap()).collect();
    let expected = [
        rose.display().to_string(),
        bell.display().to_string(),
        lily.display().to_string(),
        format!("{}#0/p0.png", arguments[1]),
        format!("{}#3/p3.png", arguments[1]),
        format!("{}/data/shard.parquet#0/p0.png", arguments[2]),
    ];
    assert_eq!(names, expected);
    // The same picture gets the same answer, wherever its bytes lie.
    for (one, other) in [(2, 3), (0, 4), (1, 5)] {
        assert_eq!(
            (&found[one]["class"], &found[one]["probability"]),
            (&found[other]["class"], &found[other]["probability"])
        );
    }
    for line in [
        format!("rejected: {}#1/p1.png: unknown_format", arguments[1]),
        format!("rejected: {}#2/p2.png: unreadable: the row holds no bytes", arguments[1]),
        "8 images to do".to_owned(),
        "list.tsv: column by is left aside".to_owned(),
    ] {
        assert!(said.contains(&line), "no {line} in {said}");
    }
    let none = pipeline.path("none");
    std::fs::create_dir(&none).unwrap();
    let refused = text(&pipeline.output("predict", &[none.to_str().unwrap()]).stderr);
    assert!(refused.contains("error: no picture in ") && refused.contains("and Parquet files"), "{refused}");
    pipeline.write("none/new.csv", "path\na.png\n");
    let refused = text(&pipeline.output("predict", &[none.to_str().unwrap()]).stderr);
    assert!(refused.contains("hint: name the list itself") && !refused.contains("kind ="), "{refused}");
}

/// Tables that are written as the run's are read as they are; those that are not have usual names,
/// and no hint names a key that `predict` does not read.
#[test]
fn a_list_may_be_written_as_that_of_the_run() {
    let pipeline = Pipeline::new(4, 2);
    let list = |column: &str, files: &[&str]| format!("{column}\n{}\n", files.join("\n"));
    let classes = ["red_rose", "white_lily", "blue_bell"];
    let lines: Vec<String> = classes
        .iter()
        .flat_map(|class| [("train", 0), ("train", 1), ("test", 1000)].map(|(split, n)| (class, split, n)))
        .map(|(class, split, n)| format!("{split}/{class}/{n:04}.png,{},{split}", class.replace('_', " ")))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    std::fs::create_dir(pipeline.path("lists")).unwrap();
    pipeline.write("lists/run.csv", &list("photo,label,split", &lines));
    let dataset = "kind = \"list\"\npath = \"lists/run.csv\"\nroot = \"pictures\"\nimage_column = \"photo\"";
    pipeline.spec("photos", dataset);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let rose = "test/red_rose/1000.png";
    pipeline.write("lists/new.csv", &list("photo", &[rose]));
    pipeline.write("pictures/other.csv", &list("path", &[rose]));
    let answered = |name: &str| -> Vec<String> {
        predicted(&pipeline, &[pipeline.path(name).to_str().unwrap()]).into_keys().collect()
    };
    let expected = [pipeline.path("pictures").join(rose).display().to_string()];
    assert_eq!(answered("lists/new.csv"), expected, "the run's column and root");
    assert_eq!(answered("pictures/other.csv"), expected, "a usual name, below the list's folder");
    pipeline.write("lists/wrong.csv", &list("where", &[rose]));
    let refused = text(&pipeline.output("predict", &[pipeline.path("lists/wrong.csv").to_str().unwrap()]).stderr);
    assert!(refused.contains("no column `path`") && !refused.contains("dataset."), "{refused}");
}

/// The reason says what to change, and changing it is enough: no answer depends on it.
#[test]
fn a_limit_that_rejects_a_picture_is_named_by_its_key() {
    let pipeline = Pipeline::new(4, 2);
    let file = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    let limited = |side: u32, pixels: u32, bytes: u64| {
        let limits = format!("max_side = {side}\nmax_pixels = {pixels}\nmax_bytes = {bytes}\n");
        pipeline.write("pipeline.toml", &format!("{file}[dataset.limits]\n{limits}"));
    };
    limited(100, 8_000, 60_000);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let rose = entries(&pipeline.path("pictures/test/red_rose")).remove(0);
    let drawn = |name: &str, width: u32, height: u32| {
        image::RgbImage::new(width, height).save(pipeline.path(name)).unwrap();
    };
    drawn("long.png", 120, 20);
    drawn("wide.png", 95, 90);
    // What follows the end of a PNG is read over.
    let heavy = [std::fs::read(rose).unwrap(), vec![0; 60_000]].concat();
    std::fs::write(pipeline.path("heavy.png"), heavy).unwrap();
    for (name, why) in [
        (
            "long.png",
            "side_too_long: 120 x 20 pixels, longer than dataset.limits.max_side = 100; a larger value admits",
        ),
        ("wide.png", "8550 pixels, more than dataset.limits.max_pixels = 8000; a larger value admits"),
        ("heavy.png", "more than dataset.limits.max_bytes = 60000; a larger value admits"),
    ] {
        let refused = pipeline.output("predict", &[pipeline.path(name).to_str().unwrap()]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{name}: {said}");
        assert!(said.contains(why), "{name}: {said}");
    }
    limited(120, 9_000, 200_000);
    for name in ["long.png", "wide.png", "heavy.png"] {
        pipeline.ok("predict", &[pipeline.path(name).to_str().unwrap()]);
    }
}
