//! The path that tensors take on a GPU gives the CPU's answers.

use serde_json::Value;

use crate::gpu::stand_in;
use crate::pipeline::Pipeline;

/// How far numbers may be apart: sums have other orders, and saliency is found in another way.
const CLOSE: f64 = 1e-3;

/// What the frozen towers say. `vector` need only be close.
const FROZEN: [&str; 3] = [
    "SELECT image_id, mask, array_concat(cls_feature, cls_token) AS vector FROM embeddings ORDER BY image_id",
    "SELECT sentence, feature AS vector FROM text_features ORDER BY sentence",
    "SELECT image_id, logits AS vector FROM prior_logits ORDER BY image_id",
];

/// How training went, and its answers.
const ADAPTED: [&str; 3] = [
    "SELECT pass, image_id, l.class_id, f.logits AS vector FROM fusion_logits f \
     JOIN pseudo_labels l USING (pass, image_id) ORDER BY pass, image_id",
    "SELECT pass, images, steps, [loss, ce, fairness] AS vector FROM passes ORDER BY pass",
    "SELECT image_id, class_id, zero_shot_class_id, [confidence] AS vector FROM predictions ORDER BY image_id",
];

#[test]
fn a_run_gives_the_same_labels_and_nearly_the_same_numbers() {
    for tune in ["head", "layernorm"] {
        let pipeline = Pipeline::new(6, 2);
        let [cpu, gpu] = ["cpu", "gpu"].map(|store| pipeline.path(store).to_str().unwrap().to_owned());
        let tuned = format!("adapt.tune={tune}");
        let fp32 = [&tuned, "adapt.epochs=2", "adapt.precision=fp32", "model.precision=fp32"];
        let fp32: Vec<&str> = fp32.iter().flat_map(|setting| ["--set", *setting]).collect();
        let printed = pipeline.ok("run", &[&fp32[..], &["--store", &cpu]].concat());
        let on_gpu = [&fp32[..], &["--store", &gpu, "--device", "cuda"]].concat();
        let (printed_by_gpu, counts) = stand_in::ok(&pipeline, "run", &on_gpu);
        assert!(counts.sum("launch") > 0, "the device was asked: {counts}");
        assert_eq!(printed, printed_by_gpu, "{tune}: accuracies");

        for rows in FROZEN.into_iter().chain(ADAPTED) {
            let [by_cpu, by_gpu] = [&cpu, &gpu].map(|store| pipeline.sql_in(rows, &["--store", store]));
            assert_alike(&format!("{tune}: {rows}"), by_cpu, by_gpu);
        }
        let pictures = pipeline.path("pictures/test");
        let asked = |store| [pictures.to_str().unwrap(), "--format", "json", "--quiet", "--store", store];
        let (answered, counts) = stand_in::ok(&pipeline, "predict", &asked(&gpu));
        assert!(counts.sum("launch") > 0, "the device was asked: {counts}");
        let rows = |printed: String| printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let by_cpu = rows(pipeline.ok("predict", &asked(&cpu)));
        assert_alike(&format!("{tune}: predict"), by_cpu, rows(answered));
    }
}

/// Asserts that rows are equal but for their column `vector` or `probability`, and that close.
#[track_caller]
fn assert_alike(what: &str, ours: Vec<Value>, theirs: Vec<Value>) {
    assert!(!ours.is_empty() && ours.len() == theirs.len(), "{what}: {} and {} rows", ours.len(), theirs.len());
    for (mut ours, mut theirs) in ours.into_iter().zip(theirs) {
        let [numbers, other] = [&mut ours, &mut theirs].map(|row| {
            let row = row.as_object_mut().unwrap();
            let numbers = row.remove("vector").or_else(|| row.remove("probability")).expect("numbers");
            let numbers = numbers.as_array().cloned().unwrap_or_else(|| vec![numbers]);
            numbers.iter().map(|number| number.as_f64().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(ours, theirs, "{what}");
        assert_eq!(numbers.len(), other.len(), "{what}");
        let apart = numbers.iter().zip(&other).map(|(a, b)| (a - b).abs() / a.abs().max(1.0)).fold(0.0, f64::max);
        assert!(apart < CLOSE, "{what}: {apart} apart in {ours}");
    }
}
