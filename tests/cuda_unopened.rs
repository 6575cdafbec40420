//! What only needs the names of results opens no CUDA: here its library is one that cannot be
//! opened, and who tries says so.

use std::process::{Command, Output};

use crate::pipeline::Pipeline;

/// A verb where libtorch's CUDA library is a text file.
fn with_broken_library(pipeline: &Pipeline, verb: &str, rest: &[&str]) -> Output {
    let mut command: Command = pipeline.command(verb, rest);
    command.env("MICROCLIP_CUDA_LIBS", pipeline.path("cuda")).output().unwrap()
}

#[track_caller]
fn said(output: &Output) -> String {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    format!("{}\n{stdout}\n{stderr}", output.status.code().unwrap())
}

#[test]
fn names_of_results_are_known_without_opening_cuda() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("embed", &[]);
    std::fs::create_dir(pipeline.path("cuda")).unwrap();
    pipeline.write("cuda/libtorch_cuda.so", "no library");
    for device in ["cuda", "cuda:1"] {
        for (verb, rest) in [
            ("sql", &["SELECT count(*) AS n FROM images"][..]),
            ("sql", &["SELECT count(*) AS n FROM embeddings"]),
            ("run", &["--dry-run"]),
            ("cache ls", &[]),
            ("cache gc", &["--unreferenced", "--dry-run"]),
            ("runs", &[]),
        ] {
            let output = with_broken_library(&pipeline, verb, &[rest, &["--device", device]].concat());
            assert!(output.status.success(), "{verb} {rest:?}: {}", said(&output));
        }
        let refused = said(&with_broken_library(&pipeline, "embed", &["--device", device]));
        assert!(refused.starts_with("1\n"), "{refused}");
        assert!(refused.contains("error: no GPU: cannot open ") && refused.contains("libtorch_cuda.so"), "{refused}");
        assert!(refused.contains("hint: --device cpu works everywhere"), "{refused}");
    }
}

/// A plan and a query about a GPU's results name the same spaces whichever GPU it is, and others
/// than a CPU's.
#[test]
fn a_plan_names_the_spaces_of_the_hardware_and_not_of_its_number() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("embed", &[]);
    let plan = |device: &str| pipeline.ok("run", &["--dry-run", "--device", device]);
    assert_eq!(plan("cuda"), plan("cuda:3"));
    assert_ne!(plan("cuda"), plan("cpu"));
}
