//! Tensors of several devices meet nowhere: a GPU's kernel refuses them, a CPU's could not.

use crate::dino_parity::folder;
use crate::gpu::stand_in;
use crate::pipeline::Pipeline;

/// What `--device` names, and the device that computes.
const NAMED: [(&str, &str); 2] = [("cuda", "cuda:0"), ("cuda:1", "cuda:1")];

/// Ways to adapt that between them compute whatever the program can.
const WAYS: [&[&str]; 6] = [
    &["adapt.recipe=recommended"],
    &["adapt.recipe=released"],
    &["adapt.tune=layernorm", "fusion.query=random", "fusion.sink=learned"],
    &["adapt.from_block=2", "dka.policy=top_k_per_class", "adapt.class_prior=estimated"],
    &["adapt.tune=head", "transduction.prior=true", "transduction.method=stata", "fusion.heads=learnable"],
    &["adapt.tune=none", "views.keep=true", "device.memory=1e-9"],
];

#[test]
fn whatever_is_computed_stays_on_the_device_that_was_named() {
    let second = folder("dinov2-registers", 28);
    let second = format!("model.second.path={}", second.path().display());
    for (n, way) in WAYS.iter().enumerate() {
        for (named, device) in NAMED {
            let pipeline = Pipeline::new(4, 1);
            // One way has a second model.
            let way = [way, &[&second, "adapt.epochs=1"][usize::from(n > 0)..]].concat();
            let set: Vec<&str> = way.iter().flat_map(|setting| ["--set", *setting]).collect();
            let (_, counts) = stand_in::ok(&pipeline, "run", &[&set[..], &["--device", named]].concat());
            assert_eq!(counts.devices().collect::<Vec<_>>(), [device], "{way:?}");
        }
    }
}
