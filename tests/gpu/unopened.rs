//! What computes nothing opens no GPU: that takes a second, hundreds of megabytes of its memory,
//! and a GPU that another process may have for itself.

use crate::gpu::stand_in;
use crate::pipeline::Pipeline;

/// Verbs that only read.
const READING: [&[&str]; 5] =
    [&["runs"], &["cache verify"], &["cache ls"], &["run", "--dry-run"], &["sql", "SELECT 1"]];

#[test]
fn what_only_reads_opens_no_gpu() {
    let pipeline = Pipeline::new(4, 1);
    let spec = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    pipeline.write("pipeline.toml", &spec.replace("kind = \"cpu\"", "kind = \"cuda\""));
    let run = stand_in::output(&pipeline, "run", "run", &["--set", "adapt.tune=head"]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(pipeline.path("run").exists(), "a run opens it");
    for verb in READING {
        let output = stand_in::output(&pipeline, "counts", verb[0], &verb[1..]);
        assert!(output.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!pipeline.path("counts").exists(), "{verb:?} opened CUDA");
    }
}
