//! Paths on standard input, one a line or each with a NUL after it. They are read as they are
//! needed, so that there may be any number of them.

use std::ffi::OsString;
use std::io::{BufRead, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::error::{Context, Error, Kind, Result};
use crate::image::Format;
use crate::stop::Stop;
use crate::text::file::without_mark;

/// What ends a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// NUL if the first bytes have one, which no path holds; else a line's end.
    Either,
    /// NUL, as `find -print0` writes: names may then hold line ends.
    Null,
}

/// The most bytes of a path: what is longer is no list of paths.
const LONGEST: u64 = 64 << 10;

/// Paths that wait to be taken.
const WAITING: usize = 1024;

/// How often a wait for the next path asks whether to stop.
const ASK: Duration = Duration::from_millis(100);

/// Reads paths on a thread of its own, because a read cannot be interrupted by a stop.
///
/// # Errors
/// Returns [`Kind::System`] if the operating system refuses the thread. The iterator ends after an
/// error: [`Kind::Input`] if `input` cannot be read or is no list of paths, [`Kind::Interrupted`]
/// if a stop was requested.
pub fn paths(
    input: impl BufRead + Send + 'static,
    ends: Ends,
    stop: Stop,
) -> Result<impl Iterator<Item = Result<PathBuf>> + Send> {
    let (send, receive) = sync_channel(WAITING);
    std::thread::Builder::new()
        .name("paths".to_owned())
        .spawn(move || {
            if let Err(error) = read(input, ends, &send) {
                // The receiver was dropped if no more paths are wanted.
                let _ = send.send(Err(error));
            }
        })
        .context(Kind::System, || "cannot read paths beside the work on them".to_owned())?;
    let mut over = false;
    Ok(std::iter::from_fn(move || {
        let next = if over { None } else { next(&receive, &stop) };
        over = !matches!(next, Some(Ok(_)));
        next
    }))
}

fn next(receive: &Receiver<Result<PathBuf>>, stop: &Stop) -> Option<Result<PathBuf>> {
    loop {
        match receive.recv_timeout(ASK) {
            Ok(path) => return Some(path),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {
                if let Err(stopped) = stop.check() {
                    return Some(Err(stopped));
                }
            }
        }
    }
}

fn read(mut input: impl BufRead, ends: Ends, send: &SyncSender<Result<PathBuf>>) -> Result<()> {
    let unreadable = || "cannot read paths from standard input".to_owned();
    let first = input.fill_buf().context(Kind::Input, unreadable)?;
    if Format::sniff(first).is_some() {
        return Err(Error::new(Kind::Input, "standard input is a picture, not a list of paths")
            .hint("name the file; a list has a path a line, as `find new -name '*.jpg'` writes it"));
    }
    let end = if ends == Ends::Null || first.contains(&0) { 0 } else { b'\n' };
    let mark = first.len() - without_mark(first).len();
    input.consume(mark);
    for number in 1.. {
        let mut path = Vec::new();
        input.by_ref().take(LONGEST + 1).read_until(end, &mut path).context(Kind::Input, unreadable)?;
        if path.is_empty() {
            break;
        }
        if path.len() as u64 > LONGEST {
            let what = format!("path {number} on standard input is longer than {} KiB", LONGEST >> 10);
            return Err(
                Error::new(Kind::Input, what).hint("a list has a path a line, or, with --null, a NUL after each")
            );
        }
        path.pop_if(|byte| *byte == end);
        if end == b'\n' {
            // Lists that were written on Windows.
            path.pop_if(|byte| *byte == b'\r');
        }
        if !path.is_empty() && send.send(Ok(PathBuf::from(OsString::from_vec(path)))).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use super::*;

    fn of(text: &[u8], ends: Ends) -> Result<Vec<String>> {
        let found = paths(Cursor::new(text.to_vec()), ends, Stop::default())?;
        found.map(|path| Ok(path?.display().to_string())).collect()
    }

    #[test]
    fn paths_end_with_a_line_or_with_nul() {
        assert_eq!(of(b"a b.jpg\n\n c.jpg\r\nd.jpg", Ends::Either).unwrap(), ["a b.jpg", " c.jpg", "d.jpg"]);
        assert_eq!(of(b"\xef\xbb\xbfa.jpg\n", Ends::Either).unwrap(), ["a.jpg"]);
        assert_eq!(of(b"a\nb.jpg\0c.jpg\0", Ends::Either).unwrap(), ["a\nb.jpg", "c.jpg"]);
        assert_eq!(of(b"a\nb.jpg", Ends::Null).unwrap(), ["a\nb.jpg"]);
        assert!(of(b"", Ends::Either).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_list_of_paths_is_refused_in_bounded_memory() {
        let picture = of(b"\xff\xd8\xff\xe0....", Ends::Either).unwrap_err();
        assert!(picture.to_string().contains("is a picture"));
        let endless = BufReader::new(std::io::repeat(b'x'));
        let found: Vec<_> = paths(endless, Ends::Either, Stop::default()).unwrap().collect();
        assert!(
            matches!(found.as_slice(), [Err(error)] if error.to_string().contains("path 1 on standard input is longer"))
        );
    }

    #[test]
    fn a_stop_ends_the_wait_for_a_path() {
        // A pipe that nobody writes to.
        let (silent, _writer) = std::io::pipe().unwrap();
        let stop = Stop::default();
        stop.request();
        let found: Vec<_> = paths(BufReader::new(silent), Ends::Either, stop).unwrap().collect();
        assert!(matches!(found.as_slice(), [Err(error)] if error.kind() == Kind::Interrupted));
    }
}
