//! `adapt.keep`: what of the logits of earlier passes stays, what the results do not depend on, and
//! what says so.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::pipeline::{Pipeline, entries};

/// Three passes of three classes; the pull is fixed so that every pass has a bias.
const HEAD: [&str; 4] = ["--set", "adapt.tune=head", "--set", "dka.balance=0.5"];

fn pipeline() -> Pipeline {
    Pipeline::new(5, 2)
}

/// Runs a verb in a store of its own, with this choice; gives what it said.
fn said(pipeline: &Pipeline, verb: &str, store: &str, keep: &str, rest: &[&str]) -> String {
    let (folder, keep) = (pipeline.path(store), format!("adapt.keep={keep}"));
    let own = ["--store", folder.to_str().unwrap(), "--set", &keep];
    let output = pipeline.output(verb, &[&HEAD[..], &own, rest].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

fn sql(pipeline: &Pipeline, store: &str, statement: &str) -> Vec<Value> {
    pipeline.sql_in(statement, &["--store", pipeline.path(store).to_str().unwrap()])
}

/// The parts of a table of the only run, by name.
fn parts(pipeline: &Pipeline, store: &str, table: &str) -> Vec<String> {
    let runs = entries(&pipeline.path(store).join(table));
    let parts = runs.iter().flat_map(|run| entries(run));
    parts.map(|part| part.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// What is left of each pass.
fn kept(pipeline: &Pipeline, store: &str) -> Vec<Value> {
    sql(pipeline, store, "SELECT kept FROM passes ORDER BY pass").iter().map(|row| row["kept"].clone()).collect()
}

const WHOLE: [&str; 3] = ["pass-0000", "pass-0001", "pass-0002"];

#[test]
fn what_is_kept_changes_no_result_and_no_name() {
    let pipeline = pipeline();
    for (store, keep) in [("all", "all"), ("last", "last"), ("top", "top:2")] {
        said(&pipeline, "run", store, keep, &[]);
    }
    let of = |store: &str| {
        let tables = [
            ("prior_logits", "image_id"),
            ("pseudo_labels", "pass, image_id"),
            ("predictions", "image_id"),
            ("metrics", "model, split, metric"),
            ("class_bias", "pass, class_id"),
        ];
        let rows = tables.map(|(table, key)| {
            format!("{:?}", sql(&pipeline, store, &format!("SELECT * FROM {table} ORDER BY {key}")))
        });
        let passes = "SELECT run, pass, loss, changed, mean_confidence, images, steps FROM passes ORDER BY pass";
        (rows, sql(&pipeline, store, passes), pipeline.weights(store))
    };
    let all = of("all");
    assert!(all.0[1].len() > 1000);
    assert!(of("last") == all && of("top") == all, "the same run, to the bit");

    assert_eq!(
        (parts(&pipeline, "all", "fusion_logits"), kept(&pipeline, "all")),
        (WHOLE.map(str::to_owned).to_vec(), vec![json!(null); 3])
    );
    assert_eq!(parts(&pipeline, "last", "fusion_logits"), ["pass-0002"]);
    assert_eq!(kept(&pipeline, "last"), [json!(0), json!(0), json!(null)]);
    assert!(parts(&pipeline, "last", "top_logits").is_empty());
    assert!(parts(&pipeline, "top", "fusion_logits").is_empty(), "once the run has ended, the last pass's go too");
    assert_eq!(
        (parts(&pipeline, "top", "top_logits"), kept(&pipeline, "top")),
        (WHOLE.map(str::to_owned).to_vec(), vec![json!(2); 3])
    );

    // The largest are those of all.
    let best = "SELECT pass, image_id, argmax(logits) AS class, max_of(logits) AS most, margin(logits) AS margin FROM fusion_logits ORDER BY 1, 2";
    let top = "SELECT pass, image_id, class_ids[1] AS class, logits[1] AS most, logits[1] - logits[2] AS margin FROM top_logits ORDER BY 1, 2";
    assert_eq!(sql(&pipeline, "all", best), sql(&pipeline, "top", top));
    // And views over answers say the same, as far as there are any.
    for statement in
        ["SELECT * FROM pass_answers ORDER BY pass, image_id", "SELECT * FROM disagreements ORDER BY pass, image_id"]
    {
        let whole = sql(&pipeline, "all", statement);
        assert!(!whole.is_empty() || statement.contains("disagreements"));
        assert_eq!(sql(&pipeline, "top", statement), whole, "{statement}");
        let last: Vec<Value> = whole.into_iter().filter(|row| row["pass"] == json!(2)).collect();
        assert_eq!(sql(&pipeline, "last", statement), last, "{statement}");
    }
    for store in ["last", "top"] {
        assert!(
            said(&pipeline, "run", store, if store == "last" { "last" } else { "top:2" }, &[])
                .contains("is finished: nothing had to be computed")
        );
        pipeline.ok("cache verify", &["--store", pipeline.path(store).to_str().unwrap()]);
    }
}

#[test]
fn statements_and_reports_say_what_is_missing() {
    let pipeline = pipeline();
    for (store, keep) in [("all", "all"), ("last", "last"), ("top", "top:2")] {
        said(&pipeline, "run", store, keep, &[]);
    }
    let warned = |store: &str, statement: &str| {
        let output = pipeline.output("sql", &[statement, "--store", pipeline.path(store).to_str().unwrap()]);
        assert!(output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        said.lines().filter(|line| line.contains("adapt.keep")).map(str::to_owned).collect::<Vec<_>>()
    };
    let logits = "SELECT count(*) FROM fusion_logits f JOIN (SELECT run FROM runs) r USING (run)";
    assert_eq!(warned("all", logits), Vec::<String>::new());
    assert_eq!(
        warned("last", logits),
        [
            "warning: `fusion_logits` has no rows of 2 passes of 1 run, as `adapt.keep` has not kept them (`passes.kept` says of which)"
        ]
    );
    assert_eq!(
        warned("top", logits),
        [
            "warning: `fusion_logits` has no rows of 3 passes of 1 run, as `adapt.keep` has not kept them (`passes.kept` says of \
          which); `top_logits` has the largest of each picture, and `pass_answers` the answers"
        ]
    );
    assert!(
        warned("last", "SELECT * FROM disagreements LIMIT 1")[0]
            .contains("`disagreements` has no rows of 2 passes of 1 run")
    );
    for silent in ["SELECT * FROM disagreements LIMIT 1", "SELECT * FROM pass_summary"] {
        assert_eq!(warned("top", silent), Vec::<String>::new());
    }
    assert_eq!(warned("last", "SELECT * FROM pass_summary"), Vec::<String>::new());

    let page = |store: &str| {
        let page = pipeline.path(&format!("{store}.html"));
        let rest =
            ["--store", pipeline.path(store).to_str().unwrap(), "--output", page.to_str().unwrap()].map(str::to_owned);
        pipeline.ok("report", &rest.iter().map(String::as_str).collect::<Vec<_>>());
        fs::read_to_string(page).unwrap()
    };
    let note = "of 2 of 3 passes, adapt.keep has not kept what the model itself said";
    assert_eq!(["all", "last", "top"].map(|store| page(store).contains(note)), [false, true, false]);
}

#[test]
fn another_choice_later_thins_and_brings_nothing_back() {
    let pipeline = pipeline();
    let run = |keep: &str| said(&pipeline, "run", "store", keep, &[]);
    let not_back = |said: &str| said.lines().find(|line| line.contains("not brought back")).map(str::to_owned);
    assert_eq!(not_back(&run("all")), None);
    // A finished run that is asked for again is thinned, without computing anything.
    let top = run("top:2");
    assert!(top.contains("is finished: nothing had to be computed") && not_back(&top).is_none(), "{top}");
    assert_eq!((kept(&pipeline, "store"), parts(&pipeline, "store", "fusion_logits").len()), (vec![json!(2); 3], 0));
    assert_eq!(not_back(&run("top:1")), None);
    assert_eq!(kept(&pipeline, "store"), [json!(1), json!(1), json!(1)]);
    let shown = sql(&pipeline, "store", "SELECT count(*) AS n, count(margin) AS margins FROM pass_answers");
    assert_eq!(shown, [json!({"n": 45, "margins": 0})], "of one logit alone there is no margin");
    let more = not_back(&run("top:2")).unwrap();
    assert!(more.contains("of 3 passes, fewer logits are there than adapt.keep = \"top:2\" keeps"), "{more}");
    let last = not_back(&run("last")).unwrap();
    assert!(last.contains("of 1 pass, fewer"), "the last pass's cannot be whole again: {last}");
    assert_eq!(kept(&pipeline, "store"), [json!(0), json!(0), json!(1)]);
    assert!(not_back(&run("all")).unwrap().contains("of 3 passes, fewer"));
    assert_eq!(kept(&pipeline, "store"), [json!(0), json!(0), json!(1)]);
    assert_eq!(parts(&pipeline, "store", "top_logits"), ["pass-0002"]);
    // More than there are classes is all of them.
    said(&pipeline, "run", "many", "top:3", &[]);
    assert_eq!((kept(&pipeline, "many"), parts(&pipeline, "many", "fusion_logits").len()), (vec![json!(null); 3], 3));
}

#[test]
fn what_is_said_to_be_kept_and_is_lost_is_computed_again() {
    let pipeline = pipeline();
    said(&pipeline, "run", "whole", "top:2", &[]);
    said(&pipeline, "run", "last", "last", &[]);
    for (table, keep, from) in
        [("top_logits", "top:2", "whole"), ("fusion_logits", "last", "last"), ("passes", "last", "last")]
    {
        let store = format!("lost-{table}");
        crate::pipeline::copy(&pipeline.path(from), &pipeline.path(&store));
        let part = entries(&entries(&pipeline.path(&store).join(table)).remove(0)).pop().unwrap();
        fs::remove_file(&part).unwrap();
        let again = said(&pipeline, "run", &store, keep, &[]);
        assert!(!again.contains("is finished"), "{table}: {again}");
        assert!(part.exists(), "{table}");
        crate::rows::assert_same_rows(&pipeline.path(&store), &pipeline.path(from));
    }
    // With nothing to say what was removed, a part that is gone is lost.
    said(&pipeline, "run", "all", "all", &[]);
    let part = entries(&entries(&pipeline.path("all/fusion_logits")).remove(0)).remove(0);
    fs::remove_file(&part).unwrap();
    assert!(!said(&pipeline, "run", "all", "last", &[]).contains("is finished"));
}

/// Thinning may be cut short after each of its steps: the next run does the rest.
#[test]
fn thinning_that_was_cut_short_is_completed() {
    let pipeline = pipeline();
    said(&pipeline, "run", "all", "all", &[]);
    said(&pipeline, "run", "top", "top:2", &[]);
    let run = entries(&pipeline.path("top/top_logits")).remove(0).file_name().unwrap().to_owned();
    // The largest are written; the pass says so; all are removed.
    for steps in 0..=2 {
        for passes in 1..=3 {
            let store = format!("cut-{steps}-{passes}");
            crate::pipeline::copy(&pipeline.path("all"), &pipeline.path(&store));
            for pass in WHOLE.iter().take(passes).map(|pass| format!("{pass}.parquet")) {
                let part = |store: &str, table: &str| pipeline.path(store).join(table).join(&run).join(&pass);
                fs::create_dir_all(part(&store, "top_logits").parent().unwrap()).unwrap();
                fs::copy(part("top", "top_logits"), part(&store, "top_logits")).unwrap();
                if steps > 0 {
                    fs::copy(part("top", "passes"), part(&store, "passes")).unwrap();
                }
                if steps > 1 {
                    fs::remove_file(part(&store, "fusion_logits")).unwrap();
                }
            }
            let answers = "SELECT count(*) AS n, count(DISTINCT concat(pass, image_id)) AS answers FROM pass_answers";
            assert_eq!(
                sql(&pipeline, &store, answers),
                [json!({"n": 45, "answers": 45})],
                "none is there twice: {store}"
            );
            // Whoever keeps all takes what was not said to be removed as it is.
            if steps == 0 {
                let all = format!("{store}-all");
                crate::pipeline::copy(&pipeline.path(&store), &pipeline.path(&all));
                said(&pipeline, "run", &all, "all", &[]);
                crate::rows::assert_same_rows(&pipeline.path(&all), &pipeline.path("all"));
            }
            said(&pipeline, "run", &store, "top:2", &[]);
            crate::rows::assert_same_rows(&pipeline.path(&store), &pipeline.path("top"));
        }
    }
}

#[test]
fn a_choice_that_is_none_is_refused() {
    let pipeline = pipeline();
    let mut named = BTreeSet::new();
    for wrong in ["first", "top", "top:0", "top:032", "top:-1", "3", "true"] {
        let output = pipeline.output("run", &["--set", &format!("adapt.keep={wrong}")]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("'adapt.keep' must be all, last or top:K, with a whole number K from 1 to 1000000"),
            "{said}"
        );
        named.insert(said);
    }
    assert_eq!(named.len(), 7, "each says what was found");
}
