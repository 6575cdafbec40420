//! The real binary's `init` and `doctor`: from a folder to a pipeline file, and whether all is
//! there that a run needs.

use crate::cli_init::{MODEL, ok, text};
use crate::pipeline::{Pipeline, copy, entries};

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
    let said = text(&again.stderr);
    assert!(said.contains("pictures.toml is there already, and is left as it is; so is "), "{said}");
    assert!(said.contains("hint: --force overwrites what is there"), "{said}");
}

#[test]
fn the_next_command_can_be_copied_as_it_stands() {
    let pipeline = Pipeline::new(2, 1);
    let output = pipeline.program(&["init", "pictures", "--model", MODEL, "--output", "it's mine.toml"]);
    ok(&output);
    let said = text(&output.stderr);
    // A line of its own, which a shell takes as it is.
    for verb in ["describe", "run"] {
        let command = format!("microclip-pipe {verb} 'it'\\''s mine.toml'");
        assert!(said.lines().any(|line| line.trim() == command), "{said}");
    }
}

/// What someone wrote is only lost if they say so, and a file that cannot be written leaves no
/// other half of the set.
#[test]
fn init_writes_all_files_or_none_and_overwrites_only_by_force() {
    let pipeline = Pipeline::new(1, 1);
    pipeline.write("pictures-sentences.json", "mine");
    let before = entries(pipeline.folder.path());
    let refused = pipeline.program(&["init", "pictures", "--model", MODEL]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(entries(pipeline.folder.path()), before, "nothing was written beside it");
    let read = |name: &str| std::fs::read_to_string(pipeline.path(name)).unwrap();
    assert_eq!(read("pictures-sentences.json"), "mine");

    // The guide's way to another model: the sentences stay.
    let kept = ["init", "pictures", "--model", MODEL, "--descriptions", "pictures-sentences.json"];
    assert_eq!(ok(&pipeline.program(&kept)), "pictures.toml\n");
    assert!(!read("pictures.toml").contains("prototypes"), "the sentences are there");
    ok(&pipeline.program(&["init", "pictures", "--model", MODEL, "--force"]));
    assert!(read("pictures-sentences.json").contains("\"white lily\": []"));
    assert_eq!(read("pictures-sentences.json.old"), "mine", "what someone wrote is not lost");
    assert!(read("pictures.toml").contains("prototypes = \"auto\""));

    // A folder is in the pipeline file's place.
    std::fs::remove_file(pipeline.path("pictures.toml")).unwrap();
    std::fs::remove_file(pipeline.path("pictures-sentences.json")).unwrap();
    std::fs::create_dir(pipeline.path("pictures.toml")).unwrap();
    let before = entries(pipeline.folder.path());
    for force in [&[][..], &["--force"]] {
        let refused = pipeline.program(&[&["init", "pictures", "--model", MODEL], force].concat());
        assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
        assert_eq!(entries(pipeline.folder.path()), before);
    }
    for (option, path, why) in [
        ("--model", "nowhere", "--model: nowhere does not exist"),
        ("--classes", "nowhere.txt", "--classes: nowhere.txt does not exist"),
        ("--descriptions", "pictures", "--descriptions: pictures is no file"),
    ] {
        let model = if option == "--model" { &[][..] } else { &["--model", MODEL] };
        let line = [&["init", "pictures", "--output", "other.toml", option, path], model].concat();
        let refused = text(&pipeline.program(&line).stderr);
        assert!(refused.contains(why), "{refused}");
        assert_eq!(entries(pipeline.folder.path()), before, "{option}");
    }
}

/// A second pipeline for the same pictures has sentences of its own, and what a run would refuse is
/// said at once.
#[test]
fn init_names_its_files_after_the_pipeline_and_says_what_a_run_would_refuse() {
    let pipeline = Pipeline::new(1, 1);
    ok(&pipeline.program(&["init", "pictures", "--model", MODEL]));
    let second = ok(&pipeline.program(&["init", "pictures", "--model", MODEL, "--output", "second.toml"]));
    assert_eq!(second, "second.toml\nsecond-sentences.json\n");
    std::fs::create_dir(pipeline.path("deep")).unwrap();
    std::fs::rename(pipeline.path("pictures/train"), pipeline.path("deep/images")).unwrap();
    // The folder that has the classes is taken in place of the one around it.
    let deep = pipeline.program(&["init", "deep", "--model", MODEL]);
    let said = text(&deep.stderr);
    let images = pipeline.path("deep/images").canonicalize().unwrap();
    let place = format!("dataset.path = \"{}\": the first folder with several folders", images.display());
    assert!(deep.status.success() && said.contains(&place) && said.contains("of 3 classes"), "{said}");
    ok(&pipeline.program(&["doctor", "deep.toml"]));
    let whole = ["doctor", "deep.toml", "--set", "dataset.path=deep"];
    let doctor = text(&pipeline.program(&whole).stdout);
    assert!(doctor.contains("deep/images look like classes"), "{doctor}");

    std::fs::rename(pipeline.path("deep/images/red_rose"), pipeline.path("one")).unwrap();
    std::fs::create_dir(pipeline.path("alone")).unwrap();
    std::fs::rename(pipeline.path("one"), pipeline.path("alone/red_rose")).unwrap();
    let alone = pipeline.program(&["init", "alone", "--model", MODEL]);
    let said = text(&alone.stderr);
    assert!(
        alone.status.success() && said.contains("a run would be refused: the dataset has one class, 'red rose'"),
        "{said}"
    );
}

/// The names of the list, where one is given, are those that sentences are wanted about.
#[test]
fn the_file_of_sentences_has_the_names_of_the_list() {
    let pipeline = Pipeline::new(1, 0);
    pipeline.write("names.txt", "red rose\nblue bell\nwhite lily\ngreen ivy\n");
    ok(&pipeline.program(&["init", "pictures", "--model", MODEL, "--classes", "names.txt"]));
    let sentences: serde_json::Value =
        serde_json::from_slice(&std::fs::read(pipeline.path("pictures-sentences.json")).unwrap()).unwrap();
    assert_eq!(sentences, serde_json::json!({"red rose": [], "blue bell": [], "white lily": [], "green ivy": []}));
}

/// What nobody said is found out, and said; the file that comes of it is one that a run takes.
#[test]
fn init_says_what_it_assumed_and_what_is_next() {
    let pipeline = Pipeline::new(2, 1);
    std::fs::rename(pipeline.path("pictures"), pipeline.path("garden flowers")).unwrap();
    let cache = pipeline.path("cache");
    let said = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
        command.args(arguments).current_dir(pipeline.folder.path()).env("HF_HUB_CACHE", &cache).output().unwrap()
    };
    let refused = said(&["init", "garden flowers"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("--model openai/clip-vit-base-patch32"), "{}", text(&refused.stderr));

    // A model that Python fetched.
    let commit = "0123456789abcdef0123456789abcdef01234567";
    copy(MODEL.as_ref(), &cache.join("models--flora--clip/snapshots").join(commit));
    std::fs::create_dir_all(cache.join("models--flora--clip/refs")).unwrap();
    std::fs::write(cache.join("models--flora--clip/refs/main"), commit).unwrap();
    let init = said(&["init", "garden flowers"]);
    ok(&init);
    let notes = text(&init.stderr);
    for line in [
        "dataset.kind = \"folder\": 9 files of 3 classes, whose labels are for measuring alone, 6 for training and 3 for testing",
        "model.path = \"hf://flora/clip\": the only one in the hub's cache",
        "describe.domain = \"flowers\", and a prompt to fit, by the name 'garden flowers'",
        "\nnext:\n  microclip-pipe describe garden-flowers.toml\n",
    ] {
        assert!(notes.contains(line), "{line}\n{notes}");
    }
    let file = std::fs::read_to_string(pipeline.path("garden-flowers.toml")).unwrap();
    assert!(file.contains("templates = [\"a photo of a {}, a type of flower.\"]"), "{file}");
    assert!(file.contains("domain = \"flowers\""), "{file}");
    let mut plan = std::process::Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    plan.args(["run", "garden-flowers.toml", "--dry-run"]).current_dir(pipeline.folder.path());
    ok(&plan.env("HF_HUB_CACHE", &cache).env("HF_HUB_OFFLINE", "1").output().unwrap());

    copy(MODEL.as_ref(), &cache.join("models--flora--other/snapshots").join(commit));
    let refused = said(&["init", "garden flowers", "--force"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("name one with --model: hf://flora/clip, "), "{}", text(&refused.stderr));
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
fn names_of_a_data_set_steer_no_terminal() {
    let pipeline = Pipeline::new(1, 1);
    std::fs::rename(pipeline.path("pictures"), pipeline.path("pic\u{1b}[2Jtures")).unwrap();
    let init = pipeline.program(&["init", "pic\u{1b}[2Jtures", "--model", MODEL, "--output", "p.toml"]);
    assert!(ok(&init).starts_with("p.toml\n"));
    let refused = pipeline.program(&["init", "no\u{1b}[31mne", "--model", MODEL]);
    let said = text(&refused.stderr);
    assert!(!said.contains('\u{1b}') && said.contains("no\\u{1b}[31mne"), "{said}");

    let train = entries(&pipeline.path("pic\u{1b}[2Jtures/train")).remove(0);
    std::fs::write(train.join("a\u{1b}[31mb.jpg"), "no picture").unwrap();
    ok(&pipeline.program(&["ingest", "p.toml", "--set", "dataset.tolerance=0.9"]));
    let rejected = |format| ok(&pipeline.program(&["sql", "p.toml", "SELECT path FROM rejected", "--format", format]));
    let table = rejected("table");
    assert!(!table.contains('\u{1b}') && table.contains("a\\u{1b}[31mb.jpg"), "{table}");
    assert!(rejected("csv").contains("a\u{1b}[31mb.jpg"), "a program gets the name as it is");
}

#[test]
fn a_shard_without_a_readable_picture_is_refused_before_anything_is_written() {
    let pipeline = Pipeline::new(1, 1);
    let before = entries(pipeline.folder.path()).len();
    for (name, bytes, why) in [("empty.tar", "", "the file has no bytes"), ("junk.tar", "<html>", "is left out")] {
        pipeline.write(name, bytes);
        let refused = pipeline.program(&["init", name, "--model", MODEL]);
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(why), "{said}");
        assert!(
            said.contains(&format!("{name}: ")) && said.contains("hint: see what it holds with `tar tf FILE`"),
            "{said}"
        );
    }
    assert_eq!(entries(pipeline.folder.path()).len(), before + 2, "the tars alone");
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
        "{{\"blue bell\": [\"It is blue.\"],\n\"red rose\": [\"It is red.\",\n\"{long}\"],\n\"white lily\": [\"It is white.\"]}}"
    );
    pipeline.write("sentences.json", &words);
    let cut = format!(
        "1 of 7 sentences is longer than the model's 48 tokens and is cut off there: {}:3 ('red rose', 62 tokens)",
        pipeline.path("sentences.json").canonicalize().unwrap().display()
    );
    let shown = pipeline.ok("doctor", &[]);
    assert!(shown.contains("7 different ones") && shown.contains(&cut), "{shown}");
    assert!(shown.contains("to mend: shorten them"), "{shown}");
    let said = text(&pipeline.output("run", &["--dry-run"]).stderr);
    assert!(said.contains(&format!("warning: {cut}")), "{said}");
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
    for line in
        ["broken  sentences", "no sentence about 2 of 3 classes", "broken  parts", "to mend: microclip-pipe run"]
    {
        assert!(shown.contains(line), "no {line} in {shown}");
    }
    assert!(text(&ill.stderr).contains("2 things are broken"));

    let slip = pipeline.output("doctor", &["--set", "adapt.epoch=1"]);
    assert_eq!(slip.status.code(), Some(2));
    assert!(text(&slip.stdout).contains("broken  pipeline"));
}

/// Whoever looks before a run that takes hours reads what the run would say.
#[test]
fn what_a_run_refuses_doctor_and_the_dry_run_refuse_in_the_same_words() {
    let pipeline = Pipeline::new(1, 1);
    let whole = std::fs::read_to_string(pipeline.path("sentences.json")).unwrap();
    for (folder, from, to) in [
        ("untrained", "pictures/test", "untrained/test"),
        ("one", "pictures/train/red_rose", "one/red_rose"),
        ("deep", "pictures/train", "deep/images"),
        ("plain", "pictures/train/red_rose", "plain"),
        ("mixed", "pictures/train", "mixed/train"),
    ] {
        std::fs::create_dir_all(pipeline.path(folder)).unwrap();
        copy(&pipeline.path(from), &pipeline.path(to));
    }
    std::fs::create_dir(pipeline.path("nothing")).unwrap();
    std::fs::create_dir(pipeline.path("mixed/zoo")).unwrap();
    pipeline.picture("mixed/zoo/1.png", 0, 1);
    for broken in ["broken/aster/1.png", "broken/rose/2.jpg"] {
        std::fs::create_dir_all(pipeline.path(broken).parent().unwrap()).unwrap();
        pipeline.write(broken, "no picture");
    }
    pipeline.write("names.txt", "red rose\ntulip\n");
    pipeline.write("empty.json", "\n");
    pipeline.write("bare.json", "{}");
    pipeline.write("alike.json", &whole.replace("\"red rose\"", "\"red roses\""));
    pipeline.write("twice.json", &whole.replacen('{', "{\"Red_Rose\": [\"It is red.\"], ", 1));
    pipeline.write("labels.sql", "SELECT nothing FROM prior_logits");
    pipeline.write("shares.json", "{\"red rose\": 1}");
    pipeline.write("again.json", "{\"red rose\": 1, \"red rose\": 2}");
    for (set, why) in [
        (&["dataset.path=untrained"][..], "the dataset has no training picture"),
        (&["dataset.path=one"], "the dataset has one class, 'red rose'"),
        (&["dataset.path=deep"], "the dataset has one class, 'images'"),
        (&["dataset.path=plain"], "the dataset names no classes"),
        (&["dataset.path=mixed"], "pictures both in `train`, which names a split, and in `zoo`"),
        (&["dataset.path=nothing"], "no picture in"),
        (
            &["dataset.path=broken", "text.prototypes=templates"],
            "no picture of the dataset can be read; the first of 2",
        ),
        (&["dataset.classes=names.txt"], "2 classes that dataset.classes does not list: blue bell, white lily"),
        (&["text.descriptions=empty.json"], "empty.json: the file is empty"),
        (&["text.descriptions=bare.json"], "no sentence about 3 of 3 classes: blue bell, red rose, white lily"),
        (&["text.descriptions=alike.json"], "no sentence about 'red rose'"),
        (&["text.descriptions=twice.json"], "class 'red rose' stands in line 1 already"),
        (&["text.descriptions=gone.json"], "'text.descriptions' names gone.json, which does not exist"),
        (&["dka.statement=labels.sql"], "labels.sql: there is no column `nothing`"),
        (&["adapt.class_prior=table", "adapt.class_shares=shares.json"], "no share of class 'blue bell'"),
        (&["adapt.class_prior=table", "adapt.class_shares=again.json"], "the share of 'red rose' stands twice"),
        (&["adapt.tune=layernorm", "adapt.from_block=9"], "the vision tower has 4 blocks, 0 to 3"),
        (&["store=pipeline.toml/below"], "File exists"),
        (&["store=/proc/nowhere"], "cannot make the store /proc/nowhere"),
    ] {
        let set: Vec<&str> = set.iter().flat_map(|set| ["--set", *set]).collect();
        let run = pipeline.output("run", &set);
        let said = text(&run.stderr);
        let refusal =
            said.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{set:?}: {said}"));
        assert!(!run.status.success() && refusal.contains(why), "{set:?}: {refusal}");
        let begun = |stage: &str| said.lines().any(|line| line.trim_start().starts_with(stage));
        assert!(!begun("embed") && !begun("describe"), "before the first forward pass: {said}");
        let dry = pipeline.output("run", &[&set[..], &["--dry-run"]].concat());
        assert_eq!(dry.status.code(), run.status.code(), "{set:?}");
        assert!(text(&dry.stderr).contains(refusal), "{set:?}: {refusal}: {}", text(&dry.stderr));
        let doctor = pipeline.output("doctor", &set);
        assert!(!doctor.status.success(), "{set:?}");
        let shown = text(&doctor.stdout);
        let what = refusal.trim_start_matches("error: ");
        let broken = shown.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what} in {shown}"));
        assert!(broken.starts_with("broken  "), "{broken}");
    }
    assert!(!pipeline.path("store").join("images").exists(), "looking writes nothing");
    let alike = text(&pipeline.output("doctor", &["--set", "text.descriptions=alike.json"]).stdout);
    assert!(alike.contains("to mend: the file has 'red roses', which is no class"), "{alike}");
}

#[test]
fn names_in_the_file_of_sentences_that_are_no_class_are_noted() {
    let pipeline = Pipeline::new(2, 1);
    let whole = std::fs::read_to_string(pipeline.path("sentences.json")).unwrap();
    pipeline.write("sentences.json", &whole.replacen('{', "{\"tulip\": [\"It is yellow.\"], ", 1));
    let note = "sentences.json: 1 name is no class of the dataset and is left aside: tulip";
    assert!(pipeline.ok("doctor", &[]).contains(note));
    for rest in [&["--dry-run"][..], &["--set", "adapt.tune=none"]] {
        let said = text(&pipeline.output("run", rest).stderr);
        assert!(said.contains(note), "{said}");
    }
}

/// The pictures come first, and sentences when there are some.
#[test]
fn only_what_reads_sentences_asks_for_them() {
    let pipeline = Pipeline::new(2, 1);
    let file = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    let line = "descriptions = \"sentences.json\"\n";
    std::fs::remove_file(pipeline.path("sentences.json")).unwrap();
    for (text_table, missing) in [(line, "which does not exist"), ("", "missing key 'text.descriptions'")] {
        pipeline.write("pipeline.toml", &file.replace(line, text_table));
        pipeline.ok("ingest", &[]);
        assert_eq!(pipeline.sql("SELECT count(*) AS n FROM images")[0]["n"], 9);
        for verb in ["runs", "cache ls", "cache verify"] {
            pipeline.ok(verb, &[]);
        }
        for verb in ["embed", "adapt", "run"] {
            let refused = pipeline.output(verb, &[]);
            let said = text(&refused.stderr);
            assert!(refused.status.code() == Some(2) && said.contains(missing), "{verb}: {said}");
        }
        let doctor = pipeline.output("doctor", &[]);
        let shown = text(&doctor.stdout);
        assert_eq!(doctor.status.code(), Some(2));
        assert!(shown.contains("broken  sentences") && shown.contains("9 files, 3 classes"), "{shown}");

        let templates = ["--set", "text.prototypes=templates"];
        for verb in ["ingest", "doctor", "cache ls"] {
            pipeline.ok(verb, &templates);
        }
        pipeline.ok("sql", &[&["SELECT 1"], &templates[..]].concat());
        pipeline.ok("run", &[&templates[..], &["--set", "adapt.tune=none"]].concat());
    }
    assert!(
        text(&pipeline.output("run", &[]).stderr).contains("or prototypes = \"templates\" to do without sentences")
    );
}

#[test]
fn clones_of_the_hub_are_found_and_their_columns_are_shown() {
    use crate::source_hf_parquet::{plain_images, texts, write};
    let pipeline = Pipeline::new(0, 0);
    let table = pipeline.path("Clone/data/train-00000-of-00001.parquet");
    let species = || ("species", texts(&["rose", "lily", "rose"]));
    write(&table, vec![("image", plain_images(3)), species()], None);
    std::fs::write(pipeline.path("Clone/README.md"), "# Flowers\n").unwrap();
    ok(&pipeline.program(&["init", "Clone", "--model", MODEL]));
    let file = std::fs::read_to_string(pipeline.path("clone.toml")).unwrap();
    assert!(file.contains("kind = \"hf-parquet\"\npath = \"Clone\"\n"), "{file}");
    assert!(
        file.contains("# 3 files of 2 classes") && file.contains("# labels are those of column `species`"),
        "{file}"
    );
    let shown = ok(&pipeline.program(&["doctor", "clone.toml"]));
    assert!(shown.contains("3 files, 2 classes") && shown.contains("labels are those of column `species`"), "{shown}");

    // With two columns, one has to be chosen.
    write(&table, vec![("image", plain_images(3)), species(), ("region", texts(&["a", "b", "a"]))], None);
    let ill = pipeline.program(&["doctor", "clone.toml"]);
    let shown = text(&ill.stdout);
    assert!(
        shown.contains("the dataset names no classes: labels may be in any of the columns `species`, `region`"),
        "{shown}"
    );
    ok(&pipeline.program(&["doctor", "clone.toml", "--set", "dataset.label_column=species"]));
}

#[test]
fn what_is_stored_in_another_way_says_how_to_convert_it() {
    let pipeline = Pipeline::new(1, 0);
    std::fs::create_dir(pipeline.path("saved")).unwrap();
    for file in ["saved/dataset_info.json", "saved/state.json", "saved/data-00000-of-00001.arrow"] {
        pipeline.write(file, "{}");
    }
    let refused = pipeline.program(&["init", "saved", "--model", MODEL]);
    assert!(text(&refused.stderr).contains("load_from_disk("), "{}", text(&refused.stderr));
    for kind in ["folder", "hf-parquet"] {
        let set = ["--set", "dataset.path=saved", "--set", &format!("dataset.kind={kind}")];
        let doctor = pipeline.output("doctor", &set);
        assert!(text(&doctor.stdout).contains("to mend: convert it in Python"), "{}", text(&doctor.stdout));
        let run = pipeline.output("run", &set);
        assert!(text(&run.stderr).contains("is what save_to_disk of `datasets` wrote"), "{}", text(&run.stderr));
    }
}

/// A shell does not expand a `~` in the middle of a word, nor in a file.
#[test]
fn a_tilde_in_a_pipeline_file_is_the_home_folder() {
    let pipeline = Pipeline::new(1, 1);
    let home = pipeline.path("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::rename(pipeline.path("pictures"), home.join("pictures")).unwrap();
    let doctor = pipeline.command("doctor", &["--set", "dataset.path=~/pictures"]).env("HOME", &home).output().unwrap();
    assert!(ok(&doctor).contains("3 classes"), "{}", text(&doctor.stdout));
}

#[test]
fn init_finds_the_one_model_beside_the_file_whoever_wrote_it() {
    for files in [["config.json", "model.safetensors"], ["open_clip_config.json", "open_clip_model.safetensors"]] {
        let pipeline = Pipeline::new(1, 1);
        std::fs::create_dir(pipeline.path("clip")).unwrap();
        files.iter().for_each(|name| pipeline.write(&format!("clip/{name}"), ""));
        std::fs::remove_file(pipeline.path("pipeline.toml")).unwrap();
        let output = pipeline.program(&["init", "pictures", "--output", "pipeline.toml"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let written = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
        assert!(written.contains("path = \"clip\""), "{written}");
    }
}
