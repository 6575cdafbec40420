//! The real binary notices, without a label, that RandAugment takes away what tells classes apart.

use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use crate::pipeline::Pipeline;

/// Classes that differ in nothing but their colour.
const HUES: [(&str, [u32; 3]); 6] = [
    ("blue", [40, 60, 200]),
    ("green", [40, 150, 50]),
    ("purple", [130, 40, 150]),
    ("red", [200, 30, 40]),
    ("white", [225, 225, 215]),
    ("yellow", [230, 210, 40]),
];

/// A pipeline whose classes differ in colour alone, with 60 pictures of each.
fn hues() -> Pipeline {
    let pipeline = Pipeline::new(0, 0);
    for (name, tone) in HUES {
        let folder = pipeline.path(&format!("pictures/train/{name}_flower"));
        std::fs::create_dir_all(&folder).unwrap();
        for n in 0..60 {
            let picture = RgbImage::from_fn(90 + n % 7, 80, |x, y| {
                let wave = (x * 3 + y * (1 + n % 5) + n * 13) % 31;
                Rgb(tone.map(|c| (c + wave).min(255) as u8))
            });
            picture.save(folder.join(format!("{n:04}.png"))).unwrap();
        }
    }
    let about = |name: &str| json!([format!("a {name} flower."), format!("a flower with {name} petals.")]);
    let sentences: serde_json::Map<String, Value> =
        HUES.iter().map(|(name, _)| (format!("{name} flower"), about(name))).collect();
    pipeline.write("sentences.json", &Value::from(sentences).to_string());
    pipeline
}

/// Adapts with these settings; returns what was said, and the agreement of the first pass.
fn adapted(pipeline: &Pipeline, settings: &[&str]) -> (String, Value) {
    let output = pipeline.output("adapt", settings);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let shares = "SELECT spared_agreement AS spared, moved_agreement AS moved, recoloured_agreement AS recoloured \
                  FROM pass_summary WHERE pass = 0";
    (said, pipeline.sql(shares).remove(0))
}

#[test]
fn a_run_notes_that_rand_augment_takes_the_colours_away_that_tell_classes_apart() {
    let pipeline = hues();
    let (said, shares) = adapted(&pipeline, &["--set", "adapt.epochs=1"]);
    let share = |name: &str| shares[name].as_f64().unwrap();
    assert!(share("moved") > share("recoloured") + 0.2 && share("spared") > share("recoloured") + 0.2, "{shares}");
    let per_cent = |name: &str| format!("{:.0} %", 100.0 * share(name));
    let note = said.lines().find(|line| line.contains("note: colours")).unwrap_or_else(|| panic!("{shares}: {said}"));
    assert!(note.contains(&per_cent("moved")) && note.contains(&per_cent("recoloured")), "{note} {shares}");

    // What it advises: the strong view is only cropped and mirrored, and nothing is noted.
    let advice = note.split("try ").nth(1).unwrap().split(' ').collect::<Vec<_>>();
    let (said, shares) = adapted(&pipeline, &[&["--set", "adapt.epochs=1"], &advice[..]].concat());
    assert!(!said.contains("note: colours"), "{said}");
    assert!(shares["spared"].as_f64().unwrap() > 0.8 && shares["moved"].is_null(), "{shares}");
    assert!(shares["recoloured"].is_null(), "{shares}");

    // From cached features, there are no strong views.
    let (said, shares) = adapted(&pipeline, &["--set", "adapt.epochs=1", "--set", "adapt.tune=head"]);
    assert!(!said.contains("note: colours") && shares["spared"].is_null(), "{said} {shares}");
}
