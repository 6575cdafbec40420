//! A model whose owner has published pickles alone, as many did before there was safetensors.

use std::fs;
use std::process::Output;

use super::{OnHub, clip, ok, said};

const PICKLE: &str = "pytorch_model.bin";
const BOT: &str = "SFconvertbot";
const TITLE: &str = "Adding `safetensors` variant of this model";

/// The files of the small CLIP, with a pickle, and with or without safetensors.
fn files(pickle: &str, has_safetensors: bool) -> Vec<(&'static str, Vec<u8>)> {
    let names = ["config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors"];
    let there = &names[..if has_safetensors { 4 } else { 3 }];
    let mut files: Vec<_> = there.iter().map(|name| (*name, fs::read(clip().join(name)).unwrap())).collect();
    files.push((PICKLE, pickle.repeat(500).into_bytes()));
    files
}

/// A hub where pull request 15 is the bot's, of the same pickle.
fn converted() -> (OnHub, String) {
    let hub = OnHub::new();
    hub.server.commit("models/tiny/clip", "main", &files("weights", false));
    let commit = hub.server.commit("models/tiny/clip", "refs/pr/15", &files("weights", true));
    // These must not be taken: of other weights, another's, a closed one, about something else.
    hub.server.commit("models/tiny/clip", "refs/pr/16", &files("others", true));
    for number in [17, 18, 19] {
        hub.server.commit("models/tiny/clip", &format!("refs/pr/{number}"), &files("weights", true));
    }
    hub.server.pull_request("models/tiny/clip", 15, BOT, TITLE, "open");
    hub.server.pull_request("models/tiny/clip", 16, BOT, TITLE, "open");
    hub.server.pull_request("models/tiny/clip", 17, "mallory", TITLE, "open");
    hub.server.pull_request("models/tiny/clip", 18, BOT, TITLE, "closed");
    hub.server.pull_request("models/tiny/clip", 19, BOT, "Better weights", "open");
    (hub, commit)
}

fn without_network(hub: &OnHub) -> Output {
    hub.pull_with(&[("HF_HUB_OFFLINE", "1")])
}

#[test]
fn the_hubs_own_conversion_of_the_same_weights_is_taken_and_said() {
    let (hub, commit) = converted();
    let pulled = hub.pull();
    let folder = ok(&pulled);
    assert!(folder.trim().ends_with(&format!("snapshots/{commit}")), "{folder}");
    let note = format!(
        "hf://tiny/clip has its weights only as {PICKLE}, a pickle; {BOT}, the hub's own converter, has added them as \
         safetensors in pull request 15, which is taken, at commit {}; hf://tiny/clip@refs/pr/15 names it",
        &commit[..8]
    );
    assert!(said(&pulled).contains(&note), "{}", said(&pulled));
    let asked = hub.server.paths();
    assert!(asked.iter().any(|path| path.ends_with("/discussions")), "{asked:?}");
    assert!(!asked.iter().any(|path| path.ends_with(PICKLE)), "no pickle is fetched: {asked:?}");

    // Which one it was is known from then on, also without a network, and to every verb.
    let again = hub.pull();
    assert_eq!((ok(&again), said(&again).contains("pull request")), (folder.clone(), false));
    assert!(!hub.server.paths().iter().any(|path| path.ends_with("/discussions")));
    assert_eq!(ok(&without_network(&hub)), folder);
    ok(&hub.command("embed", &["--without-views"]).env("HF_HUB_OFFLINE", "1").output().unwrap());
    ok(&hub.command("cache gc", &["--unreferenced", "--dry-run"]).output().unwrap());
    let listed = ok(&hub.program(&["model", "ls"]).output().unwrap());
    assert!(listed.contains("refs/pr/15"), "{listed}");
    ok(&hub.program(&["init", "pictures/train", "--output", "new.toml"]).output().unwrap());
    let written = fs::read_to_string(hub.pipeline.path("new.toml")).unwrap();
    assert!(written.contains("path = \"hf://tiny/clip\"\n"), "{written}");

    // The owner has merged it.
    let merged = hub.server.commit("models/tiny/clip", "main", &files("newer", true));
    assert!(ok(&hub.pull()).trim().ends_with(&merged));
    assert!(ok(&without_network(&hub)).trim().ends_with(&merged));
}

/// The owner's numbers for pictures are newer than the conversion.
#[test]
fn small_files_that_differ_from_the_main_revision_are_named_at_every_run() {
    let (hub, commit) = converted();
    let mut newer = files("weights", false);
    newer[1].1.push(b'\n');
    hub.server.commit("models/tiny/clip", "main", &newer);
    for _ in 0..2 {
        let pulled = hub.pull();
        assert!(ok(&pulled).trim().ends_with(&commit));
        let warning = "warning: hf://tiny/clip has other bytes in preprocessor_config.json than refs/pr/15, from which";
        assert!(said(&pulled).contains(warning), "{}", said(&pulled));
    }
    let (hub, _) = converted();
    assert!(!said(&hub.pull()).contains("other bytes"));
}

#[test]
fn without_one_the_refusal_says_how_to_convert() {
    let refused = |hub: &OnHub, variables: &[(&str, &str)]| {
        let output = hub.pull_with(variables);
        assert_eq!(output.status.code(), Some(1));
        let text = said(&output);
        assert!(
            text.contains("only as pytorch_model.bin") && text.contains("convert it once where you trust it"),
            "{text}"
        );
    };
    let (hub, _) = converted();
    refused(&hub, &[("DISABLE_SAFETENSORS_CONVERSION", "1")]);
    // A revision that was named is the one that is meant.
    hub.server.commit("models/tiny/clip", "v1", &files("weights", false));
    let named = hub.program(&["model", "pull", "hf://tiny/clip@v1"]).output().unwrap();
    assert!(said(&named).contains("only as pytorch_model.bin"), "{}", said(&named));
    let hub = OnHub::new();
    hub.server.commit("models/tiny/clip", "main", &files("weights", false));
    hub.server.commit("models/tiny/clip", "refs/pr/3", &files("others", true));
    hub.server.pull_request("models/tiny/clip", 3, BOT, TITLE, "open");
    refused(&hub, &[]);
    hub.server.fail("/discussions", 9, super::server::Fault::Nonsense);
    refused(&hub, &[]);
}

#[test]
fn a_conversion_of_other_weights_is_not_taken_again() {
    let (hub, commit) = converted();
    let first = ok(&hub.pull());
    // The user wants none, though the cache has one.
    let unwanted = hub.pull_with(&[("DISABLE_SAFETENSORS_CONVERSION", "1")]);
    assert!(said(&unwanted).contains("only as pytorch_model.bin"), "{}", said(&unwanted));
    // What else the owner changes does not matter.
    let mut changed = files("weights", false);
    changed.push(("README.md", b"more".to_vec()));
    hub.server.commit("models/tiny/clip", "main", &changed);
    assert_eq!(ok(&hub.pull()), first);
    // Of new weights, the conversion of the old ones is none.
    hub.server.commit("models/tiny/clip", "main", &files("newer", false));
    let refused = hub.pull();
    assert!(!refused.status.success() && said(&refused).contains("only as pytorch_model.bin"), "{}", said(&refused));
    let newer = hub.server.commit("models/tiny/clip", "refs/pr/20", &files("newer", true));
    hub.server.pull_request("models/tiny/clip", 20, BOT, TITLE, "open");
    let pulled = hub.pull();
    assert!(said(&pulled).contains("pull request 20"), "{}", said(&pulled));
    assert!(newer != commit && ok(&pulled).trim().ends_with(&newer));
    assert_eq!(ok(&without_network(&hub)), ok(&pulled));
}

#[test]
fn every_shard_of_the_pickles_must_be_the_same() {
    let hub = OnHub::new();
    let sharded = |second: &str, has_safetensors: bool| {
        let mut files = files("first", has_safetensors);
        files.retain(|(name, _)| *name != PICKLE);
        files.push(("pytorch_model-00001-of-00002.bin", b"first".to_vec()));
        files.push(("pytorch_model-00002-of-00002.bin", second.as_bytes().to_vec()));
        files
    };
    hub.server.commit("models/tiny/clip", "main", &sharded("second", false));
    hub.server.commit("models/tiny/clip", "refs/pr/1", &sharded("other", true));
    hub.server.pull_request("models/tiny/clip", 1, BOT, TITLE, "open");
    let refused = hub.pull();
    assert!(!refused.status.success() && said(&refused).contains("only as pytorch_model-0000"), "{}", said(&refused));
    let same = hub.server.commit("models/tiny/clip", "refs/pr/1", &sharded("second", true));
    assert!(ok(&hub.pull()).trim().ends_with(&same));
}
