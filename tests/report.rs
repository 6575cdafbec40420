//! The real binary's `report`: a page that needs nothing beside it, with labels and without,
//! whatever the names in it.

use std::path::PathBuf;

use crate::pipeline::{CLASSES, Pipeline, entries};

/// Sections that every report has.
const SECTIONS: [&str; 9] =
    ["outcome", "passes", "confidence", "classes", "look-alikes", "map", "looks", "pictures", "settings"];

/// Makes the report of the newest run, and checks what holds for every report.
fn report(pipeline: &Pipeline, arguments: &[&str]) -> String {
    let said = pipeline.ok("report", &[arguments, &["--quiet"]].concat());
    let path = said.strip_suffix('\n').unwrap();
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    // Nothing is fetched: what is named stands in the page itself, or is one of its sections.
    for attribute in ["src=\"", "href=\"", "url("] {
        for (at, _) in page.match_indices(attribute) {
            let named = &page[at + attribute.len()..];
            assert!(named.starts_with("data:") || named.starts_with('#'), "{}", &named[..60.min(named.len())]);
        }
    }
    assert!(!page.contains("@import") && !page.contains("<iframe") && !page.contains("http://"));
    assert!(page.contains("default-src 'none'"), "and the browser is told so");
    assert_eq!(page.matches("<script").count(), 1, "the page's own");
    page
}

/// The part of the page from a chart's title to the next one.
fn section_of<'a>(page: &'a str, chart: &str) -> &'a str {
    let (_, from) = page.split_once(&format!(">{chart}</h3>")).unwrap();
    from.split("</h3>").next().unwrap()
}

fn has(page: &str, section: &str) -> bool {
    page.contains(&format!(" id=\"{section}\""))
}

#[test]
fn a_run_with_labels_has_every_section() {
    let pipeline = Pipeline::new(6, 3);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let page = report(&pipeline, &[]);
    let run = pipeline.sql("SELECT run FROM runs")[0]["run"].as_str().unwrap().to_owned();
    assert!(pipeline.path(&format!("store/reports/{run}.html")).is_file());
    for section in SECTIONS {
        assert!(has(&page, section), "{section}");
    }
    for chart in
        ["How many are right", "Loss and its fairness term", "How sure the answers are", "How often that is right"]
    {
        assert!(page.contains(&format!(">{chart}</h3>")), "{chart}");
    }
    // The share of neighbours with the same label, of the last pass, in the words of the chart's
    // table, and the accuracy beside it.
    let same = pipeline.sql("SELECT same, by_chance FROM neighbour_agreement ORDER BY pass DESC LIMIT 1");
    let shown = |of: &str| format!("{:.1} %", 100.0 * same[0][of].as_f64().unwrap());
    let chart = section_of(&page, "Neighbours with the same label");
    assert!(chart.contains(&shown("same")) && chart.contains(&shown("by_chance")), "{same:?} in {chart}");
    assert!(chart.contains(">right</li>"), "{chart}");
    // What the tables say, as the page has it.
    let metrics =
        pipeline.sql("SELECT value FROM metrics WHERE model = 'adapted' AND split = 'test' AND metric = 'top1'");
    let accuracy = format!("<p class=\"figure\">{:.1} %</p>", 100.0 * metrics[0]["value"].as_f64().unwrap());
    assert!(page.contains(&accuracy), "{accuracy}");
    for class in CLASSES {
        assert!(page.contains(&format!("<tr data-split=\"test\"><th scope=\"row\">{class}</th>")), "{class}");
    }
    // A thumbnail for each test picture's card, and a picture, a mask and the attention of those
    // that are looked into.
    assert!(page.matches("data:image/jpeg;base64,").count() > 24);
    assert!(page.matches("Saliency mask of").count() == page.matches("Attention over").count());
    assert!(page.contains("adapt.epochs</code></dt><dd><code>3<"), "settings that are not the defaults");
    assert!(page.contains("No file was rejected."));
}

#[test]
fn a_run_without_labels_has_all_that_does_without() {
    let pipeline = Pipeline::new(4, 2);
    for class in CLASSES {
        let folder = pipeline.path(&format!("pictures/train/{}", class.replace(' ', "_")));
        for (n, entry) in std::fs::read_dir(folder).unwrap().enumerate() {
            let name = format!("flat-{}-{n}.png", class.replace(' ', "-"));
            std::fs::create_dir_all(pipeline.path("flat")).unwrap();
            std::fs::rename(entry.unwrap().path(), pipeline.path("flat").join(name)).unwrap();
        }
    }
    pipeline.write("classes.txt", &CLASSES.join("\n"));
    pipeline.spec("small", "kind = \"folder\"\npath = \"flat\"\nclasses = \"classes.txt\"");
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    assert!(pipeline.sql("SELECT * FROM labels").is_empty());
    let page = report(&pipeline, &[]);
    for section in SECTIONS {
        assert!(has(&page, section), "{section}");
    }
    assert!(page.contains("No labels are known"));
    let chart = section_of(&page, "Neighbours with the same label");
    assert!(chart.contains(">neighbours</li>") && !chart.contains(">right</li>"), "{chart}");
    assert!(page.contains("train answers changed"));
    for absent in ["How many are right", "How often that is right", "class=\"verdict", "accuracy</button>"] {
        assert!(!page.contains(absent), "{absent}");
    }
}

#[test]
fn a_page_of_many_pictures_and_classes_is_small_and_says_what_it_looked_at() {
    let pipeline = Pipeline::new(12, 4);
    // 1,300 classes in two splits are more rows than the table has.
    let others = (0..1_297).map(|n| format!("flower number {n}"));
    let names: Vec<String> = CLASSES.iter().map(|name| (*name).to_owned()).chain(others).collect();
    pipeline.write("classes.txt", &names.join("\n"));
    pipeline.spec("small", "kind = \"folder\"\npath = \"pictures\"\nclasses = \"classes.txt\"");
    pipeline.ok("run", &["--set", "adapt.tune=head", "--set", "text.prototypes=templates", "--set", "adapt.epochs=2"]);
    let whole = report(&pipeline, &[]);
    assert!(!whole.contains("drawn at random by the run&#x27;s id"), "all 48 pictures are looked at");

    let page = report(&pipeline, &["--sample", "20", "--map", "5"]);
    assert!(
        page.contains(" of the 48 pictures, drawn at random by the run&#x27;s id"),
        "{}",
        pipeline.folder.path().display()
    );
    assert!(page.contains("5 pictures, drawn at random, along the two directions"));
    assert_eq!(page, report(&pipeline, &["--sample", "20", "--map", "5"]), "it is the same sample each time");
    assert!(page.len() < 2_500_000, "{} bytes", page.len());
    let rows = page.matches("<tr data-split=").count();
    assert!(rows == 2_400 && page.contains("The 2,400 rows that changed most; 200 others are left out."), "{rows}");
    assert!(page.contains("These are the 60 with most pictures; <code>SELECT * FROM dead_classes</code>"));
    assert!(page.contains(" of 1,300 classes: those of the worst pairs. <code>SELECT * FROM look_alikes</code>"));
    // The surest and the least certain are still sought among all.
    let least = pipeline.sql("SELECT confidence FROM least_certain LIMIT 1")[0]["confidence"].as_f64().unwrap();
    assert!(page.contains(&format!("<p class=\"muted\">{:.0} % sure</p>", 100.0 * least)), "{least}");
}

#[test]
fn names_cannot_break_out_of_the_page() {
    let hostile = "<script>alert(1)</script>";
    let quoted = "\"><img src=x onerror=alert(2)>";
    let pipeline = Pipeline::new(4, 1);
    let mut list = "path,label,split\n".to_owned();
    let names = [hostile, quoted, "plain"];
    for (class, name) in names.iter().enumerate() {
        for n in 0..4 {
            pipeline.picture(&format!("{class}-{n}.png"), class as u32, n);
            let split = if n == 0 { "test" } else { "train" };
            list.push_str(&format!("{class}-{n}.png,\"{}\",{split}\n", name.replace('"', "\"\"")));
        }
    }
    pipeline.write("<b onmouseover=alert(3)>.png", "no picture");
    list.push_str("<b onmouseover=alert(3)>.png,plain,train\n");
    pipeline.write("list.csv", &list);
    let sentences: serde_json::Map<String, serde_json::Value> =
        names.iter().map(|name| ((*name).to_owned(), serde_json::json!(["a flower."]))).collect();
    pipeline.write("sentences.json", &serde_json::to_string(&sentences).unwrap());
    pipeline.spec("small", "kind = \"list\"\npath = \"list.csv\"\ntolerance = 0.5");
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let page = report(&pipeline, &[]);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt;"), "it is shown as it is called");
    for broken in ["<script>alert", "<img src=x", "<b onmouseover"] {
        assert!(!page.contains(broken), "{broken}");
    }
    assert!(page.contains("&lt;b onmouseover=alert(3)&gt;.png"), "the rejected file is listed");
}

#[test]
fn what_is_gone_is_left_out_and_said() {
    let pipeline = Pipeline::new(4, 1);
    pipeline.ok("run", &["--set", "adapt.tune=none"]);
    let page = report(&pipeline, &[]);
    assert!(page.contains("Nothing was trained."));
    assert!(!has(&page, "map") && !has(&page, "looks"));

    // Another model at the same place, and no pictures.
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora");
    std::fs::create_dir(pipeline.path("model")).unwrap();
    for file in entries(&source) {
        std::fs::copy(&file, pipeline.path("model").join(file.file_name().unwrap())).unwrap();
    }
    let model = ["--set", "model.path=model"];
    pipeline.ok("run", &[&model[..], &["--set", "adapt.tune=head"]].concat());
    let weights = pipeline.path("model/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    std::fs::rename(pipeline.path("pictures"), pipeline.path("moved")).unwrap();
    std::fs::create_dir(pipeline.path("pictures")).unwrap();
    let page = pipeline.path("page.html");
    let page = report(&pipeline, &["--run", "small-head", "--output", page.to_str().unwrap()]);
    assert!(page.contains("the map and the attention are left out: the weights at"));
    assert!(!has(&page, "map") && !has(&page, "looks"));
    assert!(page.contains("no longer there") && has(&page, "passes"));

    let none = pipeline.output("report", &["--run", "other"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8(none.stderr).unwrap().contains("no run that begins or ends with 'other'"));
}
