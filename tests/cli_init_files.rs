//! What the real binary's `init` writes: over which files, about which classes, and what it says of
//! them.

use crate::cli_init::{init, ok, refused, text};
use crate::pipeline::Pipeline;

#[test]
fn a_folder_in_the_place_of_the_pipeline_file_is_called_one() {
    let pipeline = Pipeline::new(1, 0);
    std::fs::create_dir(pipeline.path("p.toml")).unwrap();
    let said = refused(&pipeline, &["pictures", "--output", "p.toml"]);
    assert!(said.contains("p.toml is a folder") && !said.contains("--force"), "{said}");
}

#[test]
fn a_pipeline_file_that_is_a_link_is_overwritten_where_it_leads() {
    let pipeline = Pipeline::new(1, 0);
    std::fs::create_dir(pipeline.path("versioned")).unwrap();
    pipeline.write("versioned/mine.toml", "name = \"mine\"\n");
    std::os::unix::fs::symlink("versioned/mine.toml", pipeline.path("p.toml")).unwrap();
    init(&pipeline, "pictures");
    assert!(pipeline.path("p.toml").is_symlink());
    let written = std::fs::read_to_string(pipeline.path("versioned/mine.toml")).unwrap();
    assert!(written.contains("[dataset]"), "{written}");
}

/// A table of Kaggle's: which of its columns holds labels is for the user to say.
#[test]
fn a_column_that_may_hold_labels_is_offered_and_no_list_of_names_stands_in_its_way() {
    let pipeline = Pipeline::new(0, 0);
    (0..4).for_each(|n| pipeline.picture(&format!("kaggle/train/{n}.png"), n % 2, n));
    pipeline.write("kaggle/labels.csv", "id,breed,age\n0,rose,1\n1,lily,2\n2,rose,1\n3,lily,2\n");
    let (said, file) = init(&pipeline, "kaggle/labels.csv");
    assert!(said.contains("as it is, a run would be refused: the dataset names no classes: no column is"), "{said}");
    assert!(said.contains("dataset.label_column chooses one of breed, age"), "{said}");
    assert!(file.contains("\n# label_column = \"breed\"    # uncomment") && file.contains("others are age"), "{file}");
    assert!(!file.contains("\nclasses = ") && !pipeline.path("p-classes.txt").exists(), "{file}");
    pipeline.write("p.toml", &file.replace("# label_column", "label_column"));
    assert!(ok(&pipeline.program(&["doctor", "p.toml"])).contains("4 files, 2 classes"));
}

/// What a run only notes is no refusal: with names in the list, it goes.
#[test]
fn a_list_that_cannot_be_read_among_pictures_is_noted_where_a_run_notes_it() {
    let pipeline = Pipeline::new(0, 0);
    (0..2).for_each(|n| pipeline.picture(&format!("shots/{n}.png"), n, n));
    pipeline.write("shots/metadata.jsonl", "{\"file_name\": \"0.png\", \"label\": \"a\", \"label\": \"b\"}\n");
    let (said, _) = init(&pipeline, "shots");
    assert!(!said.contains("would be refused") && said.contains("the pictures have no labels: "), "{said}");
    assert!(said.contains("next, write the names of the classes into p-classes.txt"), "{said}");
    pipeline.write("p-classes.txt", "rose\nlily\n");
    ok(&pipeline.program(&["doctor", "p.toml"]));
}

/// The first of them by their order has the underscore, and so a table is written.
#[test]
fn labels_that_are_spelled_alike_are_one_class_in_init_and_in_a_run_and_both_say_so() {
    let pipeline = Pipeline::new(0, 0);
    (0..3).for_each(|n| pipeline.picture(&format!("{n}.png"), n, n));
    for (labels, table) in
        [(["Red_rose", "red rose"], true), (["red_rose", "red rose"], false), (["Rose", "rose"], false)]
    {
        let [one, other] = labels;
        pipeline.write("list.csv", &format!("path,label\n0.png,{one}\n1.png,{other}\n2.png,lily\n"));
        let (said, file) = init(&pipeline, "list.csv");
        let (mut first, mut second) = (one, other);
        if second < first {
            (first, second) = (second, first);
        }
        let note = format!("the labels '{first}' and '{second}' are spelled alike, and are one class");
        assert!(said.contains("3 files of 2 classes") && said.contains(&note), "{said}");
        assert_eq!(file.contains("class_names = "), table, "{file}");
        let checked = ok(&pipeline.program(&["doctor", "p.toml"]));
        assert!(checked.contains("3 files, 2 classes") && checked.contains(&note), "{checked}");
    }
}

/// Questions about numbers would be paid for, and their answers be of no use.
#[test]
fn nothing_is_asked_about_numbers_unless_a_user_insists() {
    let pipeline = Pipeline::new(0, 0);
    (0..4).for_each(|n| pipeline.picture(&format!("coded/n0144076{}/{n}.png", n % 2), n % 2, n));
    init(&pipeline, "coded");
    let describe = |rest: &[&str]| {
        let set = ["--set", "describe.model=some", "--set", "describe.endpoint=http://127.0.0.1:9/v1", "--dry-run"];
        pipeline.program(&[&["describe", "p.toml"], &set[..], rest].concat())
    };
    let refused = describe(&[]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("numbers or codes, such as 'n01440760'") && said.contains("--classes"), "{said}");
    assert!(said.contains("hint: write names into ") && said.contains("p-class-names.csv"), "{said}");
    assert!(ok(&describe(&["--classes", "n01440760"])).contains("1 class"));
    pipeline.write("p-class-names.csv", "label,name\nn01440760,rose\nn01440761,lily\n");
    assert!(ok(&describe(&[])).contains("2 classes"));
}

#[test]
fn splits_that_would_become_classes_are_said_by_init_and_by_a_run() {
    let pipeline = Pipeline::new(0, 0);
    for n in 0..4 {
        let split = ["train_set", "test_set"][n as usize % 2];
        pipeline.picture(&format!("pets/{split}/{}/{n}.png", ["cats", "dogs"][n as usize / 2]), n / 2, n);
    }
    let (said, file) = init(&pipeline, "pets");
    let note = "the folders test_set, train_set count as classes, and all their pictures are for training";
    assert!(said.contains(note) && file.contains(note), "{said}");
    let checked = ok(&pipeline.program(&["doctor", "p.toml"]));
    assert!(checked.contains(note), "{checked}");
}

#[test]
fn a_file_that_holds_no_weights_is_no_model() {
    let pipeline = Pipeline::new(1, 0);
    pipeline.write("notes.txt", "no weights");
    let output = pipeline.program(&["init", "pictures", "--model", "notes.txt", "--output", "p.toml"]);
    let said = text(&output.stderr);
    assert!(said.contains("not a safetensors file: ") && said.contains("notes.txt"), "{said}");
    assert!(!output.status.success() && !pipeline.path("p.toml").exists(), "nothing is written");
}
