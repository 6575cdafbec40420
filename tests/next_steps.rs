//! What the real binary does for a person once a run has ended: it opens the page, and says what is
//! worth doing next.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::pipeline::Pipeline;
use crate::terminal::Terminal;

/// Writes a program in place of the desktop's opener, which notes what it is asked to open.
fn opener(pipeline: &Pipeline) -> String {
    let noted = pipeline.path("opened.txt");
    pipeline
        .write("xdg-open", &format!("#!/bin/sh\nprintf '%s' \"$1\" > {noted:?}.new && mv {noted:?}.new {noted:?}\n"));
    let program = pipeline.path("xdg-open");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", pipeline.folder.path().display())
}

/// Waits for what was opened: nobody waits for a browser.
fn opened(pipeline: &Pipeline) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match std::fs::read_to_string(pipeline.path("opened.txt")) {
            Ok(text) => return text,
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => panic!("nothing was opened: {error}"),
        }
    }
}

#[test]
fn the_page_is_opened_after_a_run_and_by_report() {
    let pipeline = Pipeline::new(3, 1);
    let path = opener(&pipeline);
    let mut run = pipeline.command("run", &["--open", "--set", "adapt.tune=head"]);
    let ran = run.env_remove("BROWSER").env("PATH", &path).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let page = opened(&pipeline);
    assert!(page.contains("/store/reports/small-"), "{page}");
    assert!(std::fs::read_to_string(&page).unwrap().contains("<html"));
    assert!(String::from_utf8_lossy(&ran.stderr).contains(&page), "where the page lies is said");
    // Where nobody reads along, the table is all.
    assert!(!String::from_utf8_lossy(&ran.stderr).contains("next:"));

    std::fs::remove_file(pipeline.path("opened.txt")).unwrap();
    let output = pipeline.path("page.html");
    let mut report = pipeline.command("report", &["--open", "--output", output.to_str().unwrap()]);
    assert!(report.env_remove("BROWSER").env("PATH", &path).status().unwrap().success());
    assert_eq!(opened(&pipeline), output.to_str().unwrap());

    // On a server there is nothing to open it with, and the page is there all the same.
    std::fs::remove_file(&output).unwrap();
    let mut report = pipeline.command("report", &["--open", "--output", output.to_str().unwrap()]);
    let said = report.env_remove("BROWSER").env("PATH", "/nonexistent").output().unwrap();
    assert!(said.status.success() && output.is_file());
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("no browser could be started") && said.contains("page.html"), "{said}");
}

/// The convention of `BROWSER`: commands between colons, of which the first that works is taken;
/// `%s` is the address, which otherwise comes last.
#[test]
fn the_browser_that_the_environment_names_comes_first() {
    let pipeline = Pipeline::new(3, 1);
    let path = opener(&pipeline);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    std::fs::rename(pipeline.path("xdg-open"), pipeline.path("my browser")).unwrap();
    let mine = pipeline.path("my browser").display().to_string();
    let output = pipeline.path("the page.html");
    let report = |browser: &str| {
        let _ = std::fs::remove_file(pipeline.path("opened.txt"));
        let mut report = pipeline.command("report", &["--open", "--output", output.to_str().unwrap()]);
        let said = report.env("PATH", &path).env("BROWSER", browser).output().unwrap();
        assert!(said.status.success() && output.is_file());
        String::from_utf8(said.stderr).unwrap()
    };
    let address = format!("file://{}", output.display().to_string().replace(' ', "%20"));
    for browser in [
        format!("'{mine}'"),
        format!("'{mine}' %s"),
        format!("'{mine}' '%s' --new-window &"),
        format!("no-such-browser --flag:false:'{mine}' %s"),
        // Of a command within quotes, the address is a part of a word.
        format!("sh -c '\"{mine}\" %s'"),
    ] {
        let said = report(&browser);
        assert_eq!(opened(&pipeline), address, "{browser}");
        assert!(!said.contains("no browser"), "{said}");
    }
    let said = report("no-such-browser:false");
    for tried in [
        "no-such-browser of BROWSER is no program",
        "false of BROWSER failed",
        "of xdg-open, gio, ",
        "page.html in one",
    ] {
        assert!(said.contains(tried), "{tried}: {said}");
    }
    assert!(!pipeline.path("opened.txt").exists());
    // Programs of the desktop that fail are named in words, without what Rust writes of them.
    for failing in ["xdg-open", "gio", "gnome-open", "kde-open", "wslview"] {
        std::os::unix::fs::symlink("/bin/false", pipeline.path(failing)).unwrap();
    }
    let said = report("'no end");
    assert!(
        said.contains("'no end of BROWSER has a quote that does not end") && said.contains("none showed it"),
        "{said}"
    );
    assert!(!said.contains("Launcher") && !said.contains("unix_wait_status"), "{said}");
}

#[test]
fn on_a_terminal_a_run_ends_with_what_is_worth_doing_next() {
    let pipeline = Pipeline::new(3, 1);
    let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
    command.args(["run", "pipeline.toml", "--set", "adapt.tune=head", "--set", "text.prototypes=templates"]);
    command.current_dir(pipeline.folder.path()).env("NO_COLOR", "1");
    let mut terminal = Terminal::start(command);
    terminal.wait_for("accuracy (%)");
    terminal.wait_for("next:");
    terminal.wait_for("microclip-pipe describe pipeline.toml");
    terminal.wait_for("known by their names alone");
}
