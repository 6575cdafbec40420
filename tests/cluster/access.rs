//! Who is let in: those who have the token, through TLS where other machines can connect.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::processes::{Ended, Process};
use super::{Cluster, SMALL, TOKEN};
use crate::pipeline::{Pipeline, entries};

/// Another token, which tells apart whose is in a message.
const WRONG: &str = "canary-0123456789abcdeg";

pub fn own(name: &str) -> String {
    format!("{}/tests/serve/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A file that only its user may read.
pub fn secret(pipeline: &Pipeline, name: &str, text: &str) -> PathBuf {
    pipeline.write(name, &format!("{text}\n"));
    let path = pipeline.path(name);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// An executor, and then a driver, that end with this.
#[track_caller]
fn refused(cluster: &Cluster, address: &str, rest: &[&str], code: i32, why: &str, hint: &str) {
    let mut driver = cluster.on("driver", cluster.pipeline.command("embed", &["--cluster", address]));
    let mut executor = cluster.command("one", &["executor", address, "--device", "cpu"]);
    for command in [executor.args(rest), driver.args(rest)] {
        let Ended { code: ended, said, .. } = Process::start(command).end();
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.contains(why) && said.contains(hint) && !said.contains("canary"), "{said}");
    }
}

#[test]
fn only_those_with_the_token_are_let_in_and_it_is_in_no_message_number_or_file() {
    let cluster = Cluster::new(2, 1);
    let token = secret(&cluster.pipeline, "token", TOKEN);
    let wrong = secret(&cluster.pipeline, "wrong", WRONG);
    let [token, wrong] = [&token, &wrong].map(|path| path.to_str().unwrap());
    let scheduler = cluster.scheduler(&["--verbose", "--token-file", token]);
    let address = cluster.address();
    let another = format!("error: the scheduler {address} wants another token");
    refused(
        &cluster,
        &address,
        &["--cluster-token-file", wrong],
        2,
        &another,
        "hint: it is the one that `cluster sched",
    );
    let counted = scheduler.counted();
    assert!(counted["unauthenticated_total"] >= 2 && counted["jobs_total"] == 0, "{counted:?}");

    let with = ["--verbose", "--cluster-token-file", token];
    let mut executor = cluster.start_executor("one", &with);
    executor.until_it_says("at a time from");
    let driven = cluster.drive("run", &[&SMALL[..], &with].concat());
    assert_eq!(driven.code, Some(0), "{}", driven.said);
    let pages = [&scheduler, &executor].map(|process| process.monitored("/metrics").1);
    let outputs = [scheduler.stop(), executor.stop(), driven].map(|ended| format!("{}{}", ended.printed, ended.said));
    for output in outputs.iter().chain(&pages) {
        assert!(!output.contains("canary"), "{output}");
    }
    let parts: Vec<PathBuf> = entries(&cluster.store()).iter().flat_map(|table| entries(table)).collect();
    for file in parts.iter().flat_map(|part| if part.is_dir() { entries(part) } else { vec![part.clone()] }) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(6).any(|six| six == b"canary"), "{}", file.display());
    }
}

#[test]
fn a_scheduler_for_this_machine_makes_a_token_that_its_user_finds() {
    let cluster = Cluster::new(1, 0);
    let mut scheduler = cluster.scheduler(&[]);
    let file = cluster.pipeline.path("cache/cluster/token");
    scheduler.until_it_says(&format!("the token is in {}", file.display()));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let made = std::fs::read_to_string(&file).unwrap();
    assert_eq!(made.trim_end().len(), 64);
    cluster.executor("one");
    let said = scheduler.stop().said;
    assert!(!said.contains(made.trim_end()), "{said}");
    // It stays, so that executors come back to the next scheduler.
    let again = cluster.scheduler(&[]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), made);
    drop(again);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut again = cluster.scheduler(&[]);
    again.until_it_says("warning: other users can read the token in");
}

#[test]
fn tls_is_spoken_by_those_who_were_given_the_certificate() {
    let cluster = Cluster::new(2, 1);
    let token = secret(&cluster.pipeline, "token", TOKEN);
    let (token, port) = (token.to_str().unwrap(), cluster.port.to_string());
    let (certificate, key, authority) = (own("server.pem"), own("server.key"), own("ca.pem"));
    let arguments = [
        &["scheduler", "--listen", "0.0.0.0", "--port", &port, "--token-file", token][..],
        &["--tls-cert", &certificate, "--tls-key", &key],
    ]
    .concat();
    let mut scheduler = Process::start(&mut cluster.command("scheduler", &arguments));
    assert_eq!(scheduler.address(), format!("df+tls://0.0.0.0:{port}"));
    let (private, plain) = (format!("df+tls://127.0.0.1:{port}"), cluster.address());
    let with_token = ["--cluster-token-file", token];
    let with = [&with_token[..], &["--cluster-ca", &authority]].concat();
    let nothing = format!("error: {private} has TLS, and nothing to check it against");
    refused(&cluster, &private, &with_token, 2, &nothing, "hint: --cluster-ca takes");
    let none = format!("error: {plain} has no TLS, and certificates to check it");
    refused(&cluster, &plain, &with, 2, &none, "hint: write df+tls://");
    let key_alone = [&with_token[..], &["--cluster-ca", &key]].concat();
    refused(
        &cluster,
        &private,
        &key_alone,
        2,
        "server.key has no line of PEM that begins a certificate",
        "--cluster-ca",
    );
    // The server's own certificate signed nothing.
    let untrusted = [&with_token[..], &["--cluster-ca", &certificate]].concat();
    let why = format!("error: cannot trust the scheduler {private}: invalid peer certificate");
    refused(&cluster, &private, &untrusted, 2, &why, "hint: --cluster-ca takes the certificates that signed its own");
    let driver = |address: &str, rest: &[&str]| {
        let arguments = [&SMALL[..], &["--cluster", address], rest].concat();
        Process::start(&mut cluster.on("driver", cluster.pipeline.command("run", &arguments)))
    };
    let clear = driver(&plain, &with_token).end();
    assert_eq!(clear.code, Some(1), "{}", clear.said);
    assert!(clear.said.contains(&format!("error: the scheduler {plain} does not answer: ")), "{}", clear.said);
    assert!(clear.said.contains("hint: if it prints df+tls://, that is its address, too"), "{}", clear.said);

    let arguments = [&["executor", &private, "--device", "cpu"][..], &with].concat();
    let mut executor = Process::start(&mut cluster.command("one", &arguments));
    executor.until_it_says("at a time from");
    let said = driver(&private, &with).end().well();
    assert!(said.contains(&format!("executors of {private} saw 9 images")), "{said}");
}

#[test]
fn other_machines_are_not_let_in_by_mistake() {
    let cluster = Cluster::new(1, 0);
    let token = secret(&cluster.pipeline, "token", TOKEN);
    let token = token.to_str().unwrap();
    let said = |rest: &[&str]| {
        let arguments = [&["scheduler", "--port", "0"], rest].concat();
        let Ended { code, printed, said } = Process::start(&mut cluster.command("scheduler", &arguments)).end();
        assert_eq!((code, printed.as_str()), (Some(2), ""), "{said}");
        assert!(!said.contains("canary"), "{said}");
        said
    };
    for open in ["0.0.0.0", "::", "10.0.0.1"] {
        let refused = said(&["--listen", open]);
        assert!(refused.contains(&format!("other machines can reach {open}, and there is no token")), "{refused}");
        assert!(refused.contains("--token-file") && refused.contains("MICROCLIP_CLUSTER_TOKEN"), "{refused}");
    }
    assert!(!cluster.pipeline.path("cache").exists(), "no token is made for them");
    let plain = said(&["--listen", "0.0.0.0", "--token-file", token]);
    assert!(plain.contains("could be read on the way") && plain.contains("--allow-plaintext"), "{plain}");
    assert!(said(&["--tls-cert", &own("server.pem")]).contains("--tls-key"));
    let swapped = said(&["--tls-cert", &own("server.key"), "--tls-key", &own("server.pem")]);
    assert!(swapped.contains("server.key has no line of PEM that begins a certificate"), "{swapped}");
    for bad in ["", "canary", "canary of several words and more"] {
        let bad = secret(&cluster.pipeline, "bad", bad);
        assert!(said(&["--token-file", bad.to_str().unwrap()]).contains("openssl rand -hex 32"));
    }
    // A pipe would be waited for.
    let pipe = cluster.pipeline.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    assert!(said(&["--token-file", pipe]).contains("cannot read the token in"));
    assert!(said(&["--tls-cert", pipe, "--tls-key", pipe]).contains("not an ordinary file"));
    let unlike = said(&["--tls-cert", &own("ca.pem"), "--tls-key", &own("server.key")]);
    assert!(unlike.contains("the certificate and its key cannot be used"), "{unlike}");
}
