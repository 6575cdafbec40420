//! The real binary's `runs`.

use serde_json::Value;

use crate::pipeline::Pipeline;

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn runs_are_listed_and_compared() {
    let pipeline = Pipeline::new(4, 1);
    assert_eq!(pipeline.ok("runs", &["--format", "json"]), "", "no run yet");
    for seed in ["0", "1"] {
        pipeline.ok("run", &["--set", "adapt.tune=head", "--seed", seed]);
    }
    let listed = json(&pipeline.ok("runs", &["--format", "json"]));
    assert_eq!(listed.len(), 2);
    let newest = listed[0]["run"].as_str().unwrap();
    assert!(newest.starts_with("small-head-s1-"), "the newest comes first: {listed:?}");
    assert_eq!((&listed[0]["state"], &listed[0]["passes"]), (&"finished".into(), &3.into()));
    let top1 = pipeline.sql(
        "SELECT round(value, 4) AS value FROM metrics WHERE run LIKE 'small-head-s1%' AND split = 'test' AND metric = 'top1' AND model = 'adapted'",
    );
    assert_eq!(listed[0]["test_top1"], top1[0]["value"]);

    let compared = json(&pipeline.ok("runs", &["--compare", "small-head-s0", "small-head-s1", "--format", "json"]));
    let settings: Vec<&Value> = compared.iter().filter(|line| line["kind"] == "setting").collect();
    assert_eq!(settings.len(), 1, "nothing but the seed differs: {settings:?}");
    let older = listed[1]["run"].as_str().unwrap();
    assert_eq!(
        (&settings[0]["name"], &settings[0][older], &settings[0][newest]),
        (&"seed".into(), &"0".into(), &"1".into())
    );
    assert!(compared.iter().any(|line| line["name"] == "adapted test top1" && line[older].is_string()), "{compared:?}");

    for (names, why) in [
        (&["small-head-s0"][..], "one run alone cannot be compared"),
        (&["small-head-s0", older], "is named twice"),
        (&["small-head-s0", "other"], "no run that begins or ends with 'other'"),
    ] {
        let refused = pipeline.output("runs", &[&["--compare"], names].concat());
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8(refused.stderr).unwrap().contains(why), "{names:?}");
    }
}
