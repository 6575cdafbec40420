//! What a training step asks of a GPU.

use crate::gpu::stand_in::{self, Counts};
use crate::pipeline::Pipeline;

/// A way to train, the most kernels that a step of it may launch, and the calls of a step for which
/// the host waits.
struct Recipe {
    set: &'static str,
    launches: u64,
    waits: &'static [(&'static str, u64)],
}

/// A launch costs the host the same time whatever the batch, and a GPU is idle if the host is
/// slower. The bounds are what was counted and a tenth more, so that nobody adds hundreds unseen.
/// If a step needs more, raise its bound by what `-- --nocapture` shows, and say why in the commit;
/// if it needs less, lower it.
///
/// No step should wait: one that does leaves the GPU idle while the next is prepared. What still
/// does is listed, so that it is taken off the list when it is mended.
const RECIPES: [Recipe; 3] = [
    Recipe { set: "adapt.tune=head", launches: 135, waits: &[] },
    Recipe { set: "adapt.tune=layernorm", launches: 405, waits: &[] },
    Recipe { set: "adapt.from_block=2", launches: 570, waits: &[] },
];

/// Adapts to the same 18 pictures in batches of six and of three, and gives what the additional
/// steps counted, each.
fn of_a_step(set: &str) -> Counts {
    let pipeline = Pipeline::new(6, 1);
    let [few, many] = ["6", "3"].map(|batch| {
        let (batch_key, store) = (format!("adapt.batch={batch}"), pipeline.path(batch).to_str().unwrap().to_owned());
        let settings = ["--set", set, "--set", &batch_key, "--set", "adapt.epochs=1"];
        let rest = [&settings[..], &["--store", &store, "--device", "cuda"]].concat();
        let (_, counts) = stand_in::ok(&pipeline, "adapt", &rest);
        let steps = &pipeline.sql_in("SELECT sum(steps) AS n FROM passes", &["--store", &store])[0]["n"];
        (steps.as_u64().unwrap(), counts)
    });
    assert_eq!((few.0, many.0), (3, 6), "{set}: steps");
    few.1.of_a_step(&many.1, many.0 - few.0)
}

#[test]
fn a_step_never_waits_for_the_device_and_launches_few_kernels() {
    for Recipe { set, launches, waits } in RECIPES {
        let step = of_a_step(set);
        let launched = step.sum("launch");
        println!("a step of {set}: {launched} launches\n{step}");
        assert_eq!(step.of("sync"), waits, "{set}: the host waits for these in a step");
        assert!(launched <= launches, "{set}: {launched} launches, and {launches} are allowed:\n{step}");
        assert!(launched >= launches / 2, "{set}: only {launched} launches: the bound of {launches} can be lowered");
    }
}
