//! The runs of an ablation, each made by one executor.

use serde_json::json;

use super::processes::{Ended, Process};
use super::{Cluster, seen};
use crate::ablate::{GRID, command};
use crate::rows::rows;

/// A row that shows another model of a run of the grid.
const BEFORE: &str = "[[rows]]\nname = \"head, before\"\nmodel = \"zero_shot\"\nset = [\"adapt.tune=head\"]\n\n[grid]";

/// Two runs for each of two seeds, in units of few pictures.
fn grid() -> String {
    GRID.replace("[grid]", BEFORE).replace("epochs=2\"]", "epochs=2\", \"embed.part_rows=4\"]")
}

fn ablate(cluster: &Cluster, rest: &[&str]) -> Ended {
    Process::start(&mut cluster.on("driver", command(&cluster.pipeline, rest))).end()
}

#[test]
fn an_ablation_on_executors_gives_the_table_that_it_gives_without_them() {
    let cluster = Cluster::new(3, 1);
    cluster.pipeline.write("grid.toml", &grid());
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
    cluster.pipeline.write("grid.toml", &format!("{}\"dka.statement\" = [\"nothing.sql\"]\n", grid()));
    let _scheduler = cluster.scheduler(&[]);
    let _executor = cluster.executor("one");
    let ended = ablate(&cluster, &["--cluster", &cluster.address()]);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("dka.statement = nothing.sql, small, seed "), "{}", ended.said);
    assert!(ended.said.contains("(on executor "), "{}", ended.said);
}
