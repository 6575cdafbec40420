//! The runs of an ablation, each made by one executor.

use serde_json::json;

use std::process::Command;

use super::processes::{Ended, Process};
use super::{Cluster, seen};
use crate::rows::rows;

/// Two runs for each of two seeds, and a row that shows another model of one of them.
const GRID: &str = r#"name = "tuning"
store = "store"
pipelines = ["pipeline.toml"]
seeds = [0, 1]
set = ["adapt.epochs=2", "embed.part_rows=4"]

[[rows]]
name = "zero-shot"
model = "zero_shot"
set = ["adapt.tune=none"]

[[rows]]
name = "head"
set = ["adapt.tune=head"]

[[rows]]
name = "head, before"
model = "zero_shot"
set = ["adapt.tune=head"]

[grid]
"dka.gamma" = [0.0, 0.5]
"#;

fn ablate(cluster: &Cluster, rest: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    command.current_dir(cluster.pipeline.folder.path()).args(["ablate", "grid.toml"]).args(rest);
    Process::start(&mut cluster.on("driver", command)).end()
}

#[test]
fn an_ablation_on_executors_gives_the_table_that_it_gives_without_them() {
    let cluster = Cluster::new(3, 1);
    cluster.pipeline.write("grid.toml", GRID);
    let alone = ablate(&cluster, &["--store", "alone", "--quiet"]);
    let scheduler = cluster.scheduler(&[]);
    let executors = ["one", "two"].map(|machine| cluster.executor(machine));
    let address = cluster.address();
    let ended = ablate(&cluster, &["--cluster", &address]);
    assert_eq!(ended.printed, alone.printed, "{}", ended.said);
    assert!(ended.said.contains(&format!("6 runs by executors of {address}")), "{}", ended.said);
    let [here, there] = ["store", "alone"].map(|store| rows(&cluster.pipeline.path(store)));
    for table in ["embeddings", "composites", "predictions", "metrics", "ablations"] {
        assert_eq!(here[table], there[table], "{table}");
    }
    let invocations = "SELECT count(*) AS runs, sum(invocations) AS invocations FROM runs";
    assert_eq!(cluster.pipeline.sql(invocations), [json!({"runs": 6, "invocations": 6})]);
    assert_eq!(seen(&[&executors[0], &executors[1]]), 12);
    let counted = scheduler.until_it_counts(|counted| counted["jobs"] == 0);
    assert_eq!((counted["jobs_total"], counted["units_total{outcome=\"done\"}"]), (2, 3 + 6), "{counted:?}");

    let again = ablate(&cluster, &["--cluster", &address]);
    assert_eq!(again.printed, alone.printed, "{}", again.said);
    assert_eq!(cluster.pipeline.sql(invocations), [json!({"runs": 6, "invocations": 6})], "nothing was run");
    assert_eq!(scheduler.counted()["jobs_total"], 2);
}

#[test]
fn the_cell_that_an_executor_cannot_make_is_named() {
    let cluster = Cluster::new(3, 1);
    cluster.pipeline.write("nothing.sql", "SELECT image_id, CAST(7 AS INT) AS class_id FROM prior_logits");
    cluster.pipeline.write("grid.toml", &format!("{GRID}\"dka.statement\" = [\"nothing.sql\"]\n"));
    let _scheduler = cluster.scheduler(&[]);
    let _executor = cluster.executor("one");
    let ended = ablate(&cluster, &["--cluster", &cluster.address()]);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("dka.statement = nothing.sql, small, seed "), "{}", ended.said);
    assert!(ended.said.contains("(on executor "), "{}", ended.said);
}
