//! A model by its name: fetched once, into the cache that Python reads, and the same as the folder.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::server::{Fault, TOKEN};
use super::{OnHub, clip, ok, said};
use crate::describe::server as language_model;
use crate::pipeline::entries;

const RUN: [&str; 2] = ["--set", "adapt.tune=head"];

#[test]
fn a_name_gives_the_table_of_the_folder_and_then_asks_for_the_revision_alone() {
    let hub = OnHub::new();
    let (folder, elsewhere) = (format!("model.path={}", clip().display()), hub.pipeline.path("elsewhere"));
    let of_folder = ok(&hub
        .command("run", &[&RUN[..], &["--store", elsewhere.to_str().unwrap(), "--set", &folder]].concat())
        .output()
        .unwrap());
    assert_eq!(hub.server.paths(), [""; 0], "a folder asks for nothing");

    let first = hub.command("run", &RUN).output().unwrap();
    assert_eq!(ok(&first), of_folder);
    let mut paths = hub.server.paths();
    assert_eq!(paths.remove(0), "/api/models/tiny/clip/revision/main");
    let commit = fs::read_to_string(hub.cached("refs/main")).unwrap();
    let list = format!("/api/models/tiny/clip/tree/{commit}");
    assert_eq!(paths.drain(..2).collect::<Vec<_>>(), [list.as_str(); 2], "two pages");
    let weights = paths.iter().filter(|path| path.contains("/large/")).count();
    assert_eq!(
        (paths.len() - weights, weights),
        (5, 2),
        "config and tokenizer by way of the hub, and two large files: {paths:?}"
    );

    assert_eq!(ok(&hub.command("run", &RUN).output().unwrap()), of_folder);
    assert_eq!(hub.server.paths(), ["/api/models/tiny/clip/revision/main"]);
    let offline = hub.command("run", &RUN).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_eq!(ok(&offline), of_folder);
    assert_eq!(hub.server.paths(), [""; 0]);

    // The run is on record with the commit, and can be made again by it, without a request.
    let rows = hub.pipeline.sql("SELECT settings FROM runs");
    let pinned = format!("hf://tiny/clip@{commit}");
    assert!(rows[0]["settings"].as_str().unwrap().contains(&format!("\"path\":\"{pinned}\"")), "{rows:?}");
    ok(&hub.command("run", &[&RUN[..], &["--set", &format!("model.path={pinned}")]].concat()).output().unwrap());
    let pictures = hub.pipeline.path("pictures/test");
    let answered = hub.command("predict", &[pictures.to_str().unwrap(), "--format", "csv"]).output().unwrap();
    assert_eq!(ok(&answered).lines().count(), 4);
    assert_eq!(hub.server.paths(), [""; 0]);

    // The same bytes are the same features, whatever they are called.
    let again = hub.command("run", &[&RUN[..], &["--set", &folder]].concat()).output().unwrap();
    assert_eq!(ok(&again), of_folder);
    let rows = hub.pipeline.sql("SELECT sum(image_forwards) AS n, count(*) AS runs FROM runs");
    assert_eq!((rows[0]["n"].as_i64(), rows[0]["runs"].as_i64()), (Some(0), Some(1)), "{rows:?}");
}

#[test]
fn the_cache_is_laid_out_as_python_lays_it_out() {
    let hub = OnHub::new();
    let printed = ok(&hub.pull());
    let commit = fs::read_to_string(hub.cached("refs/main")).unwrap();
    let snapshot = hub.cached(&format!("snapshots/{commit}"));
    assert_eq!(printed.trim(), snapshot.to_str().unwrap());
    for file in entries(&clip()) {
        let link = snapshot.join(file.file_name().unwrap());
        let to = fs::read_link(&link).unwrap();
        assert!(to.starts_with("../../blobs"), "{}", to.display());
        assert_eq!(fs::read(&link).unwrap(), fs::read(&file).unwrap());
    }
    assert_eq!(entries(&hub.cached("blobs")).len(), entries(&clip()).len(), "nothing unfinished is left");
    let listing: serde_json::Value =
        serde_json::from_slice(&fs::read(hub.cached(&format!("trees/{commit}.json"))).unwrap()).unwrap();
    assert_eq!((&listing["format_version"], &listing["files"]["config.json"]["size"]), (&1.into(), &886.into()));
    let listed = ok(&hub.program(&["model", "ls"]).output().unwrap());
    let line = listed.lines().nth(1).unwrap();
    assert!(
        line.starts_with("tiny/clip  main") && line.contains(&commit[..8]) && line.contains("yes: CLIP, "),
        "{listed}"
    );
    assert!(listed.ends_with("1 model, 2.9 MB\n"), "{listed}");
}

#[test]
fn only_what_is_needed_of_a_repository_is_fetched() {
    let hub = OnHub::new();
    let of = |name: &str| fs::read(clip().join(name)).unwrap();
    let junk = || vec![7; 5_000];
    let files = [
        ("config.json", of("config.json")),
        ("preprocessor_config.json", of("preprocessor_config.json")),
        ("tokenizer.json", of("tokenizer.json")),
        ("model.safetensors", of("model.safetensors")),
        ("pytorch_model.bin", junk()),
        ("tf_model.h5", junk()),
        ("onnx/model.onnx", junk()),
        ("images/cat.jpg", junk()),
        ("README.md", b"# A CLIP".to_vec()),
    ];
    hub.server.commit("models/tiny/clip", "main", &files);
    let folder = ok(&hub.pull());
    let mut names: Vec<_> = entries(folder.trim().as_ref()).iter().map(|p| p.file_name().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"]);
}

/// An index decides which files have the weights, whatever these are called.
#[test]
fn the_files_that_an_index_names_are_fetched_and_no_others() {
    let hub = OnHub::new();
    let of = |name: &str| fs::read(clip().join(name)).unwrap();
    let commit = |shard: &str| {
        let weights = of("model.safetensors");
        let tensors = safetensors::SafeTensors::deserialize(&weights).unwrap();
        let names: Vec<(String, &str)> = tensors.names().into_iter().map(|name| (name.to_owned(), shard)).collect();
        let index = serde_json::json!({"weight_map": names.into_iter().collect::<std::collections::BTreeMap<_, _>>()});
        let files = [
            ("config.json", of("config.json")),
            ("preprocessor_config.json", of("preprocessor_config.json")),
            ("tokenizer.json", of("tokenizer.json")),
            ("model.safetensors.index.json", index.to_string().into_bytes()),
            ("clip-part-a.safetensors", weights.clone()),
            // Shards of an older conversion, which the index does not name.
            ("model-00001-of-00002.safetensors", vec![7; 5_000]),
            ("model-00002-of-00002.safetensors", vec![7; 5_000]),
            ("weights.bin", vec![7; 5_000]),
        ];
        hub.server.commit("models/tiny/clip", "main", &files);
    };
    commit("clip-part-a.safetensors");
    let folder = ok(&hub.pull());
    let names: Vec<_> = entries(folder.trim().as_ref()).iter().map(|p| p.file_name().unwrap().to_owned()).collect();
    assert_eq!(
        names,
        [
            "clip-part-a.safetensors",
            "config.json",
            "model.safetensors.index.json",
            "preprocessor_config.json",
            "tokenizer.json"
        ]
    );
    assert!(ok(&hub.program(&["model", "ls"]).output().unwrap()).contains("yes: CLIP, "));
    hub.server.paths();
    let run = hub.command("run", &[&RUN[..], &["--dry-run"]].concat()).output().unwrap();
    assert!(!said(&run).contains("to fetch"), "all of it is there: {}", said(&run));

    for (shard, expected) in [
        ("../../blobs/x.safetensors", "shard '../../blobs/x.safetensors' is not a plain file name"),
        ("/etc/passwd", "shard '/etc/passwd' is not a plain file name"),
        ("..", "shard '..' is not a plain file name"),
        ("weights.bin", "weights.bin is a Python pickle"),
        ("lost.safetensors", "hf://tiny/clip has no lost.safetensors, which its model.safetensors.index.json names"),
    ] {
        commit(shard);
        let pulled = hub.pull();
        assert!(!pulled.status.success() && said(&pulled).contains(expected), "{shard}: {}", said(&pulled));
        let asked = hub.server.paths();
        let large = asked.iter().filter(|path| path.contains("/large/")).count();
        assert!(large <= 1, "the index alone is fetched: {asked:?}");
    }
}

#[test]
fn a_pipe_in_the_cache_is_no_reason_to_wait() {
    let hub = OnHub::new();
    ok(&hub.pull());
    let commit = fs::read_to_string(hub.cached("refs/main")).unwrap();
    for path in [format!("snapshots/{commit}/config.json"), "refs/main".to_owned(), format!("trees/{commit}.json")] {
        let path = hub.cached(&path);
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut child = hub.program(&["model", "ls"]).stdout(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > Duration::from_secs(20) {
                child.kill().unwrap();
                panic!("`model ls` waits for {}", path.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let listed = ok(&child.wait_with_output().unwrap());
        assert!(listed.contains("no: hf://tiny/clip has no config.json"), "{listed}");
    }
}

#[test]
fn a_revision_that_has_moved_costs_what_has_changed() {
    let hub = OnHub::new();
    ok(&hub.pull());
    let mut files: Vec<(String, Vec<u8>)> = entries(&clip())
        .iter()
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
        .collect();
    files.push(("merges.txt".to_owned(), b"#version: 0.2".to_vec()));
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let commit = hub.server.commit("models/tiny/clip", "main", &files);
    hub.server.asked();
    assert!(ok(&hub.pull()).trim().ends_with(&commit));
    let paths = hub.server.paths();
    assert_eq!(paths[0], "/api/models/tiny/clip/revision/main");
    let fetched: Vec<_> = paths.iter().filter(|path| !path.starts_with("/api/")).collect();
    assert_eq!(fetched, [&format!("/tiny/clip/resolve/{commit}/merges.txt")]);
}

#[test]
fn without_a_network_the_commit_of_last_time_is_used_and_that_is_said() {
    let hub = OnHub::new();
    ok(&hub.pull());
    let embed = ["--without-views"];
    let cut_off = hub.command("embed", &embed).env("HF_ENDPOINT", "http://127.0.0.1:9").output().unwrap();
    ok(&cut_off);
    let warning = said(&cut_off);
    assert!(warning.contains("the commit of last time is used") && warning.contains("Connection refused"), "{warning}");
    hub.server.fail("/api/", 9, Fault::Status(503, "", None));
    let down = hub.command("embed", &embed).output().unwrap();
    ok(&down);
    assert!(said(&down).contains("(503): the commit of last time is used"), "{}", said(&down));
}

#[test]
fn a_dry_run_and_doctor_say_what_is_to_come_and_fetch_none_of_it() {
    let hub = OnHub::new();
    let plan = ok(&hub.command("run", &["--dry-run"]).output().unwrap());
    let fetch = plan.lines().nth(1).unwrap();
    assert!(fetch.starts_with("fetch") && fetch.contains("hf://tiny/clip@"), "{plan}");
    assert!(fetch.contains("2,874,646") && fetch.ends_with("5 files, 2.9 MB"), "{plan}");
    assert!(plan.contains("known once it is fetched"), "{plan}");
    let seen = ok(&hub.command("doctor", &[]).output().unwrap());
    assert!(seen.contains("a run fetches hf://tiny/clip@") && seen.contains(": 5 files, 2.9 MB into "), "{seen}");
    assert!(!hub.home().exists(), "nothing was written");
    assert!(hub.server.paths().iter().all(|path| path.starts_with("/api/")));

    ok(&hub.pull());
    let plan = ok(&hub.command("run", &["--dry-run"]).output().unwrap());
    assert!(plan.starts_with("stage") && !plan.contains("fetch"), "{plan}");
    assert!(ok(&hub.command("doctor", &[]).output().unwrap()).contains("joint space of "));
}

#[test]
fn two_processes_fetch_a_file_once() {
    let hub = OnHub::new();
    hub.server.fail("/large/", 1, Fault::Late);
    let pull = || {
        let mut command = hub.program(&["model", "pull", "tiny/clip"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = [pull(), pull()].map(|child| child.wait_with_output().unwrap());
    assert_eq!(ok(&both[0]), ok(&both[1]));
    let fetched = hub.server.paths().iter().filter(|path| path.contains("/large/")).count();
    assert_eq!(fetched, 2, "two large files");
    // Whoever is second at the first file may be first at the other, so that each waits once.
    let waited = both.iter().filter(|output| said(output).contains("another process fetches")).count();
    assert!(waited >= 1);
}

#[test]
fn a_transfer_that_broke_goes_on_where_it_was() {
    for (fault, from) in [(None, Some("bytes=1000000-")), (Some(Fault::Whole), Some("bytes=1000000-"))] {
        let hub = OnHub::new();
        let weights = crate::hub::server::sha256(&fs::read(clip().join("model.safetensors")).unwrap());
        hub.server.fail(&weights, 1, Fault::Cut(1_000_000));
        if let Some(fault) = fault {
            hub.server.fail(&weights, 1, fault);
        }
        let folder = ok(&hub.pull());
        assert_eq!(
            fs::read(format!("{}/model.safetensors", folder.trim())).unwrap(),
            fs::read(clip().join("model.safetensors")).unwrap()
        );
        let asked = hub.server.asked();
        let ranges: Vec<_> =
            asked.iter().filter(|a| a.path.contains(&weights)).map(|a| a.headers.get("range")).collect();
        assert_eq!(ranges.iter().map(|r| r.map(String::as_str)).collect::<Vec<_>>(), [None, from]);
    }
}

#[test]
fn what_a_killed_process_has_fetched_is_not_fetched_again() {
    let hub = OnHub::new();
    let weights = crate::hub::server::sha256(&fs::read(clip().join("model.safetensors")).unwrap());
    fs::create_dir_all(hub.cached("blobs")).unwrap();
    let part = &fs::read(clip().join("model.safetensors")).unwrap()[..2_000_000];
    fs::write(hub.cached(&format!("blobs/{weights}.incomplete")), part).unwrap();
    ok(&hub.pull());
    let asked = hub.server.asked();
    let ranges: Vec<_> = asked.iter().filter(|a| a.path.contains(&weights)).map(|a| &a.headers["range"]).collect();
    assert_eq!(ranges, ["bytes=2000000-"]);

    // Bytes of something else are found out by the hash, and fetched once more.
    let hub = OnHub::new();
    fs::create_dir_all(hub.cached("blobs")).unwrap();
    fs::write(hub.cached(&format!("blobs/{weights}.incomplete")), vec![0; 2_000_000]).unwrap();
    let pulled = hub.pull();
    ok(&pulled);
    assert!(said(&pulled).contains("warning: model.safetensors of hf://tiny/clip@"), "{}", said(&pulled));
}

#[test]
fn a_file_that_was_cut_off_since_is_fetched_again() {
    let hub = OnHub::new();
    let weights = format!("{}/model.safetensors", ok(&hub.pull()).trim());
    fs::OpenOptions::new().write(true).open(&weights).unwrap().set_len(1_000_000).unwrap();
    let offline = hub.program(&["model", "pull", "tiny/clip"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(said(&offline).contains("model.safetensors is missing"), "{}", said(&offline));
    ok(&hub.pull());
    assert_eq!(fs::read(weights).unwrap(), fs::read(clip().join("model.safetensors")).unwrap());
}

#[test]
fn a_mirror_is_asked_for_all_pages_itself() {
    let hub = OnHub::new();
    hub.server.mirror();
    ok(&hub.pull());
}

/// As `cp -L` leaves it.
#[test]
fn a_file_in_the_place_of_a_link_is_mended() {
    let hub = OnHub::new();
    let weights = format!("{}/model.safetensors", ok(&hub.pull()).trim());
    fs::remove_file(&weights).unwrap();
    fs::write(&weights, vec![7; 1_000]).unwrap();
    ok(&hub.pull());
    assert_eq!(fs::read(&weights).unwrap(), fs::read(clip().join("model.safetensors")).unwrap());
    assert!(fs::symlink_metadata(&weights).unwrap().is_symlink());
}

/// Earlier versions of `huggingface_hub` noted no listing of files.
#[test]
fn a_cache_without_listings_is_read_if_it_is_whole_by_itself() {
    let hub = OnHub::new();
    let folder = ok(&hub.pull());
    let commit = fs::read_to_string(hub.cached("refs/main")).unwrap();
    let pinned = format!("hf://tiny/clip@{commit}");
    fs::remove_dir_all(hub.cached("trees")).unwrap();
    hub.server.asked();
    assert_eq!(ok(&hub.program(&["model", "pull", &pinned]).output().unwrap()), folder);
    let offline = || hub.program(&["model", "pull", "tiny/clip"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_eq!(ok(&offline()), folder);
    assert_eq!(hub.server.paths(), [""; 0]);
    // CLIPModel.from_pretrained alone fetches no tokenizer.
    fs::remove_file(format!("{}/tokenizer.json", folder.trim())).unwrap();
    assert!(said(&offline()).contains("the cache does not know which files it has"), "{}", said(&offline()));
    assert_eq!(ok(&hub.program(&["model", "pull", &pinned]).output().unwrap()), folder);
    assert_eq!(
        hub.server.paths(),
        [format!("/api/models/tiny/clip/tree/{commit}"), format!("/api/models/tiny/clip/tree/{commit}")]
    );
}

#[test]
fn a_stop_is_obeyed_while_the_server_is_silent() {
    let hub = OnHub::new();
    hub.server.fail("/large/", 9, Fault::Silence);
    let mut command = hub.program(&["model", "pull", "tiny/clip"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while !hub.server.asked().iter().any(|asked| asked.second) {
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupted = Instant::now();
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(interrupted.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_token_opens_what_is_gated_goes_to_the_hub_alone_and_is_never_written_or_said() {
    let hub = OnHub::new();
    hub.server.gate("models/tiny/clip");
    for (verb, rest) in [("run", vec!["--dry-run"]), ("embed", vec!["--without-views"]), ("doctor", vec![])] {
        let trace = hub.pipeline.path("trace.json");
        let mut command = hub.command(verb, &rest);
        command.args(["--verbose", "--trace"]).arg(&trace).env("HF_TOKEN", TOKEN).env("RUST_LOG", "trace");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let all = [output.stdout, output.stderr, fs::read(&trace).unwrap()].concat();
        assert!(!String::from_utf8_lossy(&all).contains(TOKEN), "{verb}");
    }
    for asked in hub.server.asked() {
        assert_eq!(asked.headers.contains_key("authorization"), !asked.second, "{asked:?}");
    }
    let refused = hub
        .command("embed", &[])
        .env("HF_TOKEN", format!("{TOKEN}x"))
        .env("HF_HOME", hub.pipeline.path("elsewhere"))
        .output();
    let refused = refused.unwrap();
    assert!(!refused.status.success() && !said(&refused).contains(TOKEN), "{}", said(&refused));
    for entry in walkdir::WalkDir::new(hub.pipeline.folder.path()).into_iter().flatten() {
        let is_file = entry.metadata().is_ok_and(|file| file.is_file() && file.size() > 0);
        let bytes = if is_file { fs::read(entry.path()).unwrap() } else { Vec::new() };
        assert!(!bytes.windows(TOKEN.len()).any(|w| w == TOKEN.as_bytes()), "{}", entry.path().display());
    }

    // The file that `hf auth login` writes does as well.
    let hub = OnHub::new();
    hub.server.gate("models/tiny/clip");
    fs::create_dir_all(hub.home()).unwrap();
    fs::write(hub.home().join("token"), format!("{TOKEN}\n")).unwrap();
    ok(&hub.pull());
}

#[test]
fn an_ablation_asks_for_the_revision_once() {
    let hub = OnHub::new();
    let grid = "name = \"tuning\"\nstore = \"store\"\npipelines = [\"pipeline.toml\"]\nseeds = [0, 1]\n\
                [[rows]]\nname = \"zero-shot\"\nmodel = \"zero_shot\"\nset = [\"adapt.tune=none\"]\n";
    hub.pipeline.write("grid.toml", grid);
    let planned = hub.program(&["ablate", "grid.toml", "--dry-run"]).output().unwrap();
    ok(&planned);
    assert_eq!(hub.server.paths(), [""; 0]);
    let table = ok(&hub.program(&["ablate", "grid.toml"]).output().unwrap());
    assert!(table.contains("zero-shot"), "{table}");
    let asked = hub.server.paths().iter().filter(|path| path.contains("/revision/")).count();
    assert_eq!(asked, 1);
}

#[test]
fn a_second_model_may_be_on_the_hub_as_well() {
    let hub = OnHub::new();
    // Not one of its kind: found out before its weights are fetched.
    let refused = hub.command("embed", &["--set", "model.second.path=tiny/clip"]).output().unwrap();
    assert!(said(&refused).contains("model_type is 'clip', not one of 'dinov2'"), "{}", said(&refused));
    assert!(!hub.server.paths().iter().any(|path| path.contains("model.safetensors")));
    let missing = hub.command("embed", &["--set", "model.second.path=hf://tiny/dino"]).output().unwrap();
    assert!(said(&missing).contains("hf://tiny/dino that everyone may see (401)"), "{}", said(&missing));
}

/// The first thing that a newcomer does after `init`: nothing has fetched the model by then.
#[test]
fn describe_fetches_the_model_whose_tokenizer_it_needs() {
    let (on_hub, model) = (OnHub::new(), language_model::Server::new(|_, _| language_model::Reply::Well));
    let endpoint = format!("describe.endpoint={}", model.endpoint());
    let asking = ["--set", &endpoint, "--set", "describe.model=m"];
    on_hub.pipeline.write("sentences.json", "{}");
    // What is wrong with the command is said before anything is fetched.
    let refused = on_hub.command("describe", &["--set", &endpoint]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(on_hub.server.asked().is_empty());
    let said = on_hub.command("describe", &asking).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(on_hub.cached("refs/main").is_file() && model.count() > 0);
    assert!(on_hub.command("run", &["--set", "adapt.tune=head"]).output().unwrap().status.success());
}
