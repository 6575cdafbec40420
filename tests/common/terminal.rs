//! The real binary on a terminal: a pseudo-terminal that is typed into and read from.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A program on a terminal of 40 rows and 120 columns.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// What was waited for before is not found again.
    seen: usize,
}

impl Terminal {
    /// Starts a program on a new terminal.
    pub fn start(mut command: Command) -> Self {
        let (mut ours, mut theirs) = (0, 0);
        let size = libc::winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let name = std::ptr::null_mut();
        // SAFETY: the pointers are valid for the call; null asks for no name and the default
        // settings.
        assert_eq!(unsafe { libc::openpty(&mut ours, &mut theirs, name, std::ptr::null(), &size) }, 0);
        // SAFETY: both were opened just now, and nobody else has them.
        let (ours, theirs) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        let end = || Stdio::from(theirs.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: both calls may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY as _, 0);
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        drop(theirs);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, shown) = (ours.try_clone().unwrap(), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Fails once the program has left its terminal.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                shown.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Terminal { child, keyboard: ours, screen, seen: 0 }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the terminal shows this, after what was waited for before.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        assert!(self.shows(text, Duration::from_secs(120)), "no {text:?} in:\n{}", &self.text()[self.seen..]);
    }

    /// Whether the terminal shows this before so much time is over.
    pub fn shows(&mut self, text: &str, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            if let Some(at) = self.text()[self.seen..].find(text) {
                self.seen += at + text.len();
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the program's end.
    pub fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// What was shown, without the sequences that move the cursor and colour text.
    pub fn text(&self) -> String {
        let screen = self.screen.lock().unwrap();
        let mut text = String::new();
        let whole = String::from_utf8_lossy(&screen).into_owned();
        let mut rest = whole.chars();
        while let Some(c) = rest.next() {
            match c {
                '\x1b' => {
                    rest.by_ref().skip(1).find(|c| ('@'..='~').contains(c));
                }
                '\r' => {}
                c => text.push(c),
            }
        }
        text
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
