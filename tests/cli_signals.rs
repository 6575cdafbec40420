//! Ctrl-C: the first asks the run to stop, the second ends the program.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use microclip_pipe::cli::progress::PlainProgress;
use microclip_pipe::cli::signal;
use microclip_pipe::stop::Stop;

/// Not a test of its own: a run that never comes to a safe point. `a_second_signal_ends_it` starts
/// it.
#[test]
#[ignore = "started by another test, in a process of its own"]
fn never_ends_by_itself() {
    let stop = Stop::default();
    signal::watch(stop.clone(), Arc::new(PlainProgress::default())).unwrap();
    eprintln!("listening");
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_second_signal_ends_it() {
    for signal in ["-INT", "-TERM"] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["cli_signals::never_ends_by_itself", "--ignored", "--exact", "--nocapture"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let kill = || assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert!(lines.by_ref().any(|line| line.contains("listening")));
        kill();
        assert!(lines.by_ref().any(|line| line.contains("press Ctrl-C again to stop at once")));
        kill();
        assert!(lines.by_ref().any(|line| line.contains("stopped at once")));
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
}
