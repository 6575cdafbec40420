//! Each way in which fetching fails says what to do, and leaves what has come.

use std::fs;

use crate::pipeline::entries;

use super::OnHub;
use super::server::{Fault, sha256};
use crate::hub::clip;

/// What `model pull` says when the hub fails in this way, with commits shortened.
#[track_caller]
fn failing(fault: Fault, path: &str) -> String {
    let hub = OnHub::new();
    hub.server.fail(path, 99, fault);
    refused(&hub)
}

fn refused(hub: &OnHub) -> String {
    let said = hub.refused(&mut hub.program(&["model", "pull", "tiny/clip"]));
    let commit = hub.server.model("tiny/clip", &clip());
    let said = said.replace(&commit, "COMMIT");
    // How far it has come depends on the clock.
    said.lines().filter(|line| !line.starts_with("     fetch")).map(|line| format!("{line}\n")).collect()
}

const LIST: &str = "/api/";
const FILES: &str = "/resolve/";
const LARGE: &str = "/large/";

#[test]
fn refusals_name_what_to_do() {
    insta::assert_snapshot!(failing(Fault::Status(401, "GatedRepo", None), LIST), @r"
    error: hf://tiny/clip is gated: the hub gives it only to those who agreed to its terms (401)
    hint: agree to them at HUB/tiny/clip, then set HF_TOKEN, or log in with `hf auth login`
    exit code 1
    ");
    insta::assert_snapshot!(failing(Fault::Status(403, "GatedRepo", None), LIST), @r"
    error: hf://tiny/clip is gated: the hub gives it only to those who agreed to its terms (403)
    hint: agree to them at HUB/tiny/clip, then set HF_TOKEN, or log in with `hf auth login`
    exit code 1
    ");
    insta::assert_snapshot!(failing(Fault::Status(403, "", None), FILES), @r"
    error: the hub does not give config.json of hf://tiny/clip@COMMIT to this user (403)
    hint: HUB/tiny/clip says who may read it; a fine-grained token must name the repository
    exit code 1
    ");
    insta::assert_snapshot!(failing(Fault::Status(404, "RepoNotFound", None), LIST), @r"
    error: the hub has no model hf://tiny/clip (404)
    hint: check the name at HUB/tiny/clip; one that is private needs HF_TOKEN; if a folder was meant, there is none of that name: relative paths start at the pipeline file
    exit code 1
    ");
    insta::assert_snapshot!(failing(Fault::Status(404, "EntryNotFound", None), FILES), @r"
    error: hf://tiny/clip@COMMIT has no config.json (404)
    hint: HUB/tiny/clip/tree/main lists its files
    exit code 1
    ");
    insta::assert_snapshot!(failing(Fault::Nonsense, LIST), @r"
    error: HUB answers about hf://tiny/clip, but not as a hub: no JSON at line 1, column 1
    hint: HF_ENDPOINT names the hub; unset, it is https://huggingface.co
    exit code 1
    ");
    let hub = OnHub::new();
    insta::assert_snapshot!(hub.refused(&mut hub.program(&["model", "pull", "tiny/clap"])), @r"
    error: the hub has no model hf://tiny/clap that everyone may see (401)
    hint: check the name at HUB/tiny/clap; if it is private or gated, set HF_TOKEN, or log in with `hf auth login`; if a folder was meant, there is none of that name: relative paths start at the pipeline file
    exit code 1
    ");
    insta::assert_snapshot!(hub.refused(hub.program(&["model", "pull", "tiny/clap"]).env("HF_TOKEN", "hf_a")), @r"
    error: the hub has no model hf://tiny/clap (404)
    hint: check the name at HUB/tiny/clap; one that is private needs HF_TOKEN; if a folder was meant, there is none of that name: relative paths start at the pipeline file
    exit code 1
    ");
    insta::assert_snapshot!(hub.refused(&mut hub.program(&["model", "pull", "hf://tiny/clip@v9"])), @r"
    error: hf://tiny/clip has no revision 'v9' (404)
    hint: HUB/tiny/clip/tree/main lists its branches and tags
    exit code 1
    ");
    insta::assert_snapshot!(hub.refused(hub.program(&["model", "pull", "tiny/clip"]).env("HF_HUB_OFFLINE", "1")), @r"
    error: hf://tiny/clip is not whole in the cache (its commit is not known), and HF_HUB_OFFLINE forbids to fetch it
    hint: run once without HF_HUB_OFFLINE; HF_HOME or HF_HUB_CACHE name another cache
    exit code 1
    ");
    insta::assert_snapshot!(hub.refused(hub.program(&["model", "pull", "tiny/clip"]).env("HF_ENDPOINT", "hub")), @r"
    error: HF_ENDPOINT is 'hub', which is no address
    hint: unset it, or name a hub: HF_ENDPOINT=https://huggingface.co
    exit code 2
    ");
}

#[test]
fn a_hub_that_is_busy_for_a_moment_is_asked_again() {
    let hub = OnHub::new();
    hub.server.fail(LIST, 1, Fault::Status(429, "", Some(0)));
    hub.server.fail("config.json", 1, Fault::Status(500, "", None));
    hub.server.fail(LARGE, 1, Fault::Cut(0));
    super::ok(&hub.pull());
    // One that asks for an hour is not waited for.
    let hub = OnHub::new();
    hub.server.fail(LIST, 1, Fault::Status(429, "", Some(3_600)));
    insta::assert_snapshot!(refused(&hub), @r"
    error: the hub asks for fewer requests, and did not give the commit of main of hf://tiny/clip (429)
    hint: wait some minutes and run again: what has come is kept; with HF_TOKEN more requests are allowed
    exit code 1
    ");
    let hub = OnHub::new();
    hub.server.fail("config.json", 1, Fault::Status(500, "", Some(3_600)));
    insta::assert_snapshot!(refused(&hub), @r"
    error: the hub failed at config.json of hf://tiny/clip@COMMIT (500)
    hint: run again later: what has come is kept; https://status.huggingface.co says how the hub is
    exit code 1
    ");
}

#[test]
fn wrong_bytes_are_never_kept() {
    let said = failing(Fault::Wrong, LARGE);
    assert!(said.starts_with("warning: tokenizer.json of hf://tiny/clip@COMMIT came wrong: its hash is "), "{said}");
    assert!(
        said.contains("; it is fetched once more\nerror: tokenizer.json of hf://tiny/clip@COMMIT came wrong"),
        "{said}"
    );
    assert!(said.contains("hint: a proxy or mirror between here and the hub may change files"), "{said}");
    // Small files have hashes, too.
    let said = failing(Fault::Wrong, "preprocessor_config.json");
    assert!(
        said.contains("error: preprocessor_config.json of hf://tiny/clip@COMMIT came wrong: its hash is "),
        "{said}"
    );
    // Once is not always.
    let hub = OnHub::new();
    hub.server.fail(LARGE, 1, Fault::Wrong);
    super::ok(&hub.pull());
    // Another part than was asked for is not put behind the one that is there.
    let hub = OnHub::new();
    hub.server.fail(LARGE, 1, Fault::Cut(10_000));
    hub.server.fail(LARGE, 1, Fault::OtherPart);
    super::ok(&hub.pull());
}

#[test]
fn a_cut_connection_keeps_what_has_come() {
    let hub = OnHub::new();
    let weights = sha256(&fs::read(clip().join("model.safetensors")).unwrap());
    hub.server.fail(&weights, 1, Fault::Cut(2_000_000));
    hub.server.fail(&weights, 1, Fault::Status(500, "", Some(3_600)));
    assert!(refused(&hub).contains("what has come is kept"));
    let incomplete =
        entries(&hub.cached("blobs")).into_iter().find(|path| path.extension() == Some("incomplete".as_ref()));
    let incomplete = incomplete.unwrap();
    assert_eq!(fs::metadata(&incomplete).unwrap().len(), 2_000_000);
    assert!(!hub.cached("refs/main").exists(), "the commit is not whole");
    super::ok(&hub.pull());
    assert!(!incomplete.exists());
}

#[test]
fn what_is_not_read_here_is_refused_before_its_weights_are_fetched() {
    let hub = OnHub::new();
    let of = |name: &str| fs::read(clip().join(name)).unwrap();
    let bert = br#"{"model_type": "bert"}"#.to_vec();
    hub.server.commit(
        "models/tiny/clip",
        "main",
        &[
            ("config.json", of("config.json")),
            ("pytorch_model.bin", vec![7; 9_000]),
            ("tokenizer.json", of("tokenizer.json")),
        ],
    );
    insta::assert_snapshot!(hub.refused(&mut hub.command("run", &["--dry-run"])), @r#"
    error: hf://tiny/clip has its weights only as pytorch_model.bin, a Python pickle, which can run code when it is opened; only safetensors is read
    hint: convert it once where you trust it, and name the folder: python3 -c "from transformers import CLIPModel, CLIPProcessor; [c.from_pretrained('tiny/clip').save_pretrained('FOLDER') for c in (CLIPModel, CLIPProcessor)]"; or, where a pull request of the repository adds model.safetensors, name its revision: hf://tiny/clip@refs/pr/NUMBER
    exit code 1
    "#);
    hub.server.commit("models/tiny/clip", "main", &[("config.json", bert), ("model.safetensors", vec![7; 9_000])]);
    let commit = hub.server.commit("models/tiny/words", "main", &[("README.md", b"#".to_vec())]);
    let said = hub.refused(&mut hub.program(&["model", "pull", "tiny/clip"]));
    assert!(said.contains("config.json: model_type is 'bert', not 'clip'"), "{said}");
    let said = hub.refused(&mut hub.program(&["model", "pull", "tiny/words"]));
    assert!(said.contains("hf://tiny/words has no model.safetensors") && !said.contains(&commit), "{said}");
    assert!(!hub.server.paths().iter().any(|path| path.contains("model.safetensors") || path.contains(".bin")));
}
