//! The real binary on folders and lists whose labels are no good names of classes.

use crate::pipeline::Pipeline;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/clip-flora");

/// Puts a picture of each class into a folder of its own.
fn folders(names: &[&str]) -> Pipeline {
    let pipeline = Pipeline::new(0, 0);
    for (class, name) in (0..).zip(names) {
        (0..2).for_each(|n| pipeline.picture(&format!("birds/{name}/{n}.png"), class, n));
    }
    pipeline
}

fn both(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn names(pipeline: &Pipeline) -> Vec<String> {
    let rows = pipeline.sql("SELECT name FROM classes ORDER BY class_id");
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn init_takes_the_numbers_off_and_a_run_calls_the_classes_so() {
    let birds = folders(&["001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"]);
    std::fs::remove_file(birds.path("pipeline.toml")).unwrap();
    let written = birds.program(&["init", "birds", "--model", MODEL, "--output", "pipeline.toml"]);
    let said = both(&written);
    assert!(written.status.success() && said.contains("pipeline-class-names.csv"), "{said}");
    let table = std::fs::read_to_string(birds.path("pipeline-class-names.csv")).unwrap();
    assert_eq!(table.lines().nth(1), Some("001.Black footed Albatross,Black footed Albatross"));
    let sentences = std::fs::read_to_string(birds.path("pipeline-sentences.json")).unwrap();
    assert!(sentences.contains("\"Laysan Albatross\": []"), "{sentences}");

    let ingested = birds.output("ingest", &["--device", "cpu"]);
    assert!(ingested.status.success() && !both(&ingested).contains("begin with numbers"), "{}", both(&ingested));
    assert_eq!(names(&birds), ["Black footed Albatross", "Laysan Albatross", "Sooty Albatross"]);
    let labels = birds.sql("SELECT DISTINCT name FROM labels JOIN classes USING (class_id) ORDER BY 1");
    assert_eq!(labels.len(), 3, "{labels:?}");
}

#[test]
fn init_asks_for_sentences_about_the_classes_that_a_file_lists() {
    let birds = folders(&["corn_poppy", "tiger_lily"]);
    birds.write("classes.txt", "Tiger lily\ncorn poppy\nIris\n");
    let said = both(&birds.program(&["init", "birds", "--model", MODEL, "--classes", "classes.txt"]));
    let sentences = std::fs::read_to_string(birds.path("birds-sentences.json")).unwrap_or(said);
    assert!(sentences.contains("\"Tiger lily\": []") && sentences.contains("\"Iris\": []"), "{sentences}");
}

#[test]
fn names_that_begin_with_numbers_are_a_note() {
    let birds = folders(&["001.Black_footed_Albatross", "002.Laysan_Albatross"]);
    birds.spec("birds", "kind = \"folder\"\npath = \"birds\"");
    let said = both(&birds.output("ingest", &[]));
    assert!(
        said.contains("'a photo of a 001.Black footed Albatross.'") && said.contains("dataset.class_names"),
        "{said}"
    );
}

#[test]
fn a_table_names_labels_that_are_numbers() {
    let birds = folders(&["a", "b"]);
    birds.write("list.csv", "path,label\nbirds/a/0.png,0\nbirds/a/1.png,0\nbirds/b/0.png,1\nbirds/b/1.png,1\n");
    birds.spec("birds", "kind = \"list\"\npath = \"list.csv\"");
    let said = both(&birds.output("ingest", &[]));
    assert!(said.contains("a class is called '0', and a prompt such as 'a photo of a 0.'"), "{said}");

    for (file, text) in
        [("names.csv", "1;auk\n0;wren\n7;owl\n"), ("names.toml", "1 = \"auk\"\n0 = \"wren\"\n7 = \"owl\"\n")]
    {
        birds.write(file, text);
        birds.spec("birds", &format!("kind = \"list\"\npath = \"list.csv\"\nclass_names = {file:?}"));
        let said = both(&birds.output("ingest", &[]));
        assert_eq!(names(&birds), ["wren", "auk"], "{said}");
        // The second file says the same, so that nothing is read anew.
        let expected = match file {
            "names.toml" => "unchanged",
            _ => "names.csv lists what is no label of the dataset: 7",
        };
        assert!(said.contains(expected), "{said}");
    }
    birds.write("names.csv", "wren,0\nauk,1\n");
    birds.spec("birds", "kind = \"list\"\npath = \"list.csv\"\nclass_names = \"names.csv\"");
    let refused = birds.output("ingest", &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        both(&refused).contains("names.csv names none of the dataset's labels, which are 0, 1"),
        "{}",
        both(&refused)
    );
}

#[test]
fn labels_that_are_spelled_alike_are_one_class() {
    let birds = folders(&["a", "b"]);
    birds.write("list.csv", "path,label\nbirds/a/0.png,tiger lily\nbirds/a/1.png,Tiger_Lily\nbirds/b/0.png,rose\n");
    birds.spec("birds", "kind = \"list\"\npath = \"list.csv\"");
    let said = both(&birds.output("ingest", &[]));
    assert!(said.contains("spelled alike, and are one class"), "{said}");
    assert_eq!(names(&birds).len(), 2);
}

#[test]
fn a_class_name_of_two_lines_stays_on_one_wherever_it_is_shown() {
    let birds = folders(&["red\nrose", "white\u{1b}[31mlily", "blue bell"]);
    std::fs::create_dir(birds.path("birds/empty\none")).unwrap();
    birds.spec("birds", "kind = \"folder\"\npath = \"birds\"");
    let templates = ["--set", "text.prototypes=templates"];
    let ingested = both(&birds.output("ingest", &[]));
    assert!(ingested.contains("no picture lies in the folders of 1 class (empty\\none); a class"), "{ingested}");
    let checked = both(&birds.output("doctor", &templates));
    assert!(checked.contains("(empty\\none); a class"), "{checked}");
    let planned = both(&birds.output("run", &[&templates[..], &["--dry-run"]].concat()));
    let asked = both(&birds.output("ingest", &["--set", "text.descriptions=sentences.json"]));
    let refused = both(&birds.output("run", &[]));
    assert!(refused.contains("no sentence about 2 of 3 classes: red\\nrose, white\\u{1b}[31mlily"), "{refused}");
    let table = birds.ok("sql", &["SELECT name FROM classes ORDER BY name"]);
    assert!(table.contains("| red\\nrose ") && table.contains("| white\\u{1b}[31mlily "), "{table}");
    for shown in [ingested, checked, planned, asked, refused, table] {
        assert!(!shown.lines().any(|line| line.starts_with("rose") || line.starts_with("one")), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
    // What is stored, and what programs are given, is the name itself.
    assert_eq!(names(&birds), ["blue bell", "red\nrose", "white\u{1b}[31mlily"]);
    let plan = birds.ok("sql", &["EXPLAIN SELECT name FROM classes"]);
    assert!(plan.lines().count() > 6 && !plan.contains("\\n"), "a plan is drawn in lines: {plan}");
}
