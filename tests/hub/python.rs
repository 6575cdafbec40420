//! Python's `huggingface_hub` on the same cache and the same hub, where `HUB_PYTHON` names a Python
//! that has it.

use std::process::Command;

use super::{OnHub, ok};

#[test]
#[ignore = "make hub-check runs it with a Python that has huggingface_hub"]
fn python_reads_what_is_fetched_here_and_the_other_way_round() {
    let python = std::env::var("HUB_PYTHON").expect("HUB_PYTHON");
    let run = |hub: &OnHub, code: &str, offline: &str| {
        let mut command = Command::new(&python);
        hub.server.environment(&mut command, &hub.home());
        let output = command.args(["-c", code]).env("HF_HUB_OFFLINE", offline).output().unwrap();
        ok(&output).trim().to_owned()
    };
    let snapshot = "from huggingface_hub import snapshot_download; print(snapshot_download('tiny/clip'))";
    let one = "from huggingface_hub import hf_hub_download; print(hf_hub_download('tiny/clip', 'model.safetensors'))";
    let scan = "from huggingface_hub import scan_cache_dir; s = scan_cache_dir(); print([(r.repo_id, r.nb_files) for r in s.repos], s.warnings)";

    let hub = OnHub::new();
    let ours = ok(&hub.pull());
    hub.server.asked();
    assert_eq!(run(&hub, snapshot, "1"), ours.trim());
    assert_eq!(run(&hub, one, "1"), format!("{}/model.safetensors", ours.trim()));
    assert_eq!(run(&hub, scan, "1"), "[('tiny/clip', 5)] []");
    assert_eq!(hub.server.paths(), [""; 0]);
    assert_eq!(run(&hub, snapshot, "0"), ours.trim());
    assert!(!hub.server.paths().iter().any(|path| path.contains("/large/")), "Python fetches nothing again");

    let hub = OnHub::new();
    let theirs = run(&hub, snapshot, "0");
    assert!(hub.server.paths().iter().any(|path| path.contains("/large/")));
    assert_eq!(ok(&hub.pull()).trim(), theirs);
    assert_eq!(hub.server.paths(), ["/api/models/tiny/clip/revision/main"]);
    ok(&hub.command("embed", &["--without-views"]).env("HF_HUB_OFFLINE", "1").output().unwrap());
    assert_eq!(hub.server.paths(), [""; 0]);
}
