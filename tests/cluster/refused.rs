//! What cannot be done is said by the driver, with where it happened and what to do about it.

use std::path::Path;

use super::processes::{Ended, Process};
use super::{Cluster, SMALL, TOKEN};
use crate::objects::server::Server;
use crate::pipeline::{copy, entries};

#[track_caller]
fn assert_failed(ended: &Ended, why: &str, hint: &str) {
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains(why) && ended.said.contains(hint), "{}", ended.said);
}

#[test]
fn a_driver_without_a_scheduler_ends_with_what_to_do() {
    let cluster = Cluster::new(2, 1);
    let ended = cluster.drive("run", &SMALL);
    let why = format!("error: the scheduler {} does not answer: Connection refused", cluster.address());
    assert_failed(&ended, &why, "hint: `microclip-pipe cluster scheduler` starts one");
    assert!(!ended.said.contains("ingest") && cluster.parts("images") == 0, "nothing is done before: {}", ended.said);
    // What is finished needs none.
    cluster.pipeline.ok("run", &SMALL);
    assert!(cluster.drive("run", &SMALL).well().contains("nothing had to be computed"));
}

#[test]
fn other_servers_are_no_schedulers() {
    let mut cluster = Cluster::new(2, 1);
    cluster.pipeline.ok("ingest", &[]);
    let port = cluster.port.to_string();
    let mut serve = Process::start(&mut cluster.pipeline.command("serve", &["--port", &port]));
    serve.address();
    let ended = cluster.drive("embed", &SMALL);
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    let why = format!("error: {} is no scheduler of this version", cluster.address());
    assert!(
        ended.said.contains(&why) && ended.said.contains("`cluster scheduler` prints its address"),
        "{}",
        ended.said
    );
    drop(serve);
    // One of HTTP.
    cluster.objects = Some(Server::start());
    let address = cluster.objects.as_ref().unwrap().address().replace("http://", "df://");
    let mut command = cluster.on("driver", cluster.pipeline.command("embed", &["--cluster", &address]));
    let ended = Process::start(&mut command).end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains(&format!("the scheduler {address} does not answer")), "{}", ended.said);
}

#[test]
fn addresses_that_are_none_are_refused_with_what_is_right() {
    let cluster = Cluster::new(1, 0);
    for (address, right) in [
        ("127.0.0.1:50050", "write df://HOST:PORT, or df+tls://HOST:PORT"),
        ("http://127.0.0.1:50050", "write df://HOST:PORT, or df+tls://HOST:PORT"),
        ("df://127.0.0.1", "write a host and a port: df://10.0.0.1:50050"),
        ("df://127.0.0.1:0", "the port is a number from 1 to 65535"),
    ] {
        let driver = cluster.on("driver", cluster.pipeline.command("run", &["--cluster", address]));
        for mut command in [cluster.command("one", &["executor", address]), driver] {
            let ended = Process::start(&mut command).end();
            assert_eq!(ended.code, Some(2), "{}", ended.said);
            assert!(ended.said.contains(right), "{}", ended.said);
        }
    }
    for verb in ["run", "embed"] {
        let ended = Process::start(&mut cluster.pipeline.command(verb, &["--cluster-ca", "ca.pem"])).end();
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert!(ended.said.contains("and none is named\nhint: name its scheduler with --cluster"), "{}", ended.said);
    }
}

#[test]
fn a_picture_that_changes_before_its_unit_is_named_with_the_executor() {
    let cluster = Cluster::new(9, 2);
    let _scheduler = cluster.scheduler(&[]);
    let mut driver = cluster.driver("run", &SMALL);
    driver.until_it_says("no executor is there");
    let path = "pictures/train/red_rose/0003.png";
    cluster.pipeline.picture(path, 0, 99);
    let executor = cluster.executor("one");
    let ended = driver.end();
    assert_failed(&ended, "0003.png has changed since it was ingested (on executor ", "\nhint: ");
    drop(executor);
    // The same as on one machine, but for where it was.
    let alone = cluster.pipeline.output("run", &SMALL);
    assert!(alone.status.success(), "it is ingested anew: {}", String::from_utf8_lossy(&alone.stderr));
}

#[test]
fn an_executor_whose_store_is_another_is_told_apart() {
    let cluster = Cluster::on_objects(2, 1);
    let elsewhere = Server::start();
    let _scheduler = cluster.scheduler(&[]);
    let mut driver = cluster.driver("run", &SMALL);
    driver.until_it_says("no executor is there");
    let address = cluster.address();
    let mut command = cluster.command("one", &["executor", &address, "--device", "cpu"]);
    let executor = Process::start(elsewhere.environment(&mut command, &cluster.pipeline.path("one")));
    let ended = driver.end();
    let why = "the store s3://birds/results has other pictures than the driver listed, or none (on executor ";
    assert_failed(&ended, why, "hint: an executor must see the driver's store under the same path");
    assert!(!ended.said.contains(TOKEN) && elsewhere.keys("results/e").is_empty());
    drop(executor);
}

#[test]
fn another_model_or_none_at_the_same_path_is_refused_by_the_executor() {
    let cluster = Cluster::new(2, 1);
    let (pipeline, model) = (&cluster.pipeline, cluster.pipeline.path("model"));
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora"), &model);
    let text = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    let line = text.lines().find(|line| line.contains("clip-flora")).unwrap();
    pipeline.write("pipeline.toml", &text.replace(line, "path = \"model\""));
    let files = entries(&model);
    let weights = files.iter().find(|file| file.extension().is_some_and(|of| of == "safetensors")).unwrap();
    let whole = std::fs::read(weights).unwrap();
    for (change, why, hint) in [
        // The last bit of some weight.
        (Some(()), "` would be made of other ", "hint: the same model must lie under the same path"),
        (None, "model", "hint: "),
    ] {
        let _scheduler = cluster.scheduler(&[]);
        let mut driver = cluster.driver("run", &SMALL);
        driver.until_it_says("no executor is there");
        match change {
            Some(()) => {
                let mut bytes = whole.clone();
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::write(weights, bytes).unwrap();
            }
            None => std::fs::remove_file(weights).unwrap(),
        }
        let _executor = cluster.executor("one");
        let ended = driver.end();
        assert_failed(&ended, why, hint);
        assert!(ended.said.contains("(on executor "), "{}", ended.said);
        assert_eq!(cluster.parts("embeddings"), 0);
        std::fs::write(weights, &whole).unwrap();
    }
}
