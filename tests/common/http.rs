//! Requests as the servers of tests read them, and answers that fail on demand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// A request of HTTP.
pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// Reads a request; `None` if it does not come whole.
pub fn read(connection: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

/// What the next requests meet in place of their answers: a part of their paths, how many of them,
/// and the fault.
pub struct Faults<F>(Mutex<Vec<(String, usize, F)>>);

impl<F> Default for Faults<F> {
    fn default() -> Self {
        Faults(Mutex::default())
    }
}

impl<F: Copy> Faults<F> {
    pub fn add(&self, path: &str, times: usize, fault: F) {
        self.0.lock().unwrap().push((path.to_owned(), times, fault));
    }

    /// Takes the fault that a request for this path meets, if it meets one.
    pub fn take(&self, path: &str) -> Option<F> {
        let mut faults = self.0.lock().unwrap();
        let at = faults.iter().position(|(part, times, _)| *times > 0 && path.contains(part.as_str()))?;
        faults[at].1 -= 1;
        Some(faults[at].2)
    }
}

/// Writes the body of an answer, what follows its first `stall` bytes only once it `goes_on`, and
/// ends the connection.
pub fn write_body(mut stream: TcpStream, body: &[u8], stall: usize, goes_on: &AtomicBool) -> std::io::Result<()> {
    let stall = stall.min(body.len());
    stream.write_all(&body[..stall])?;
    stream.flush()?;
    for _ in 0..3_000 {
        if stall == body.len() || goes_on.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    stream.write_all(&body[stall..])?;
    stream.flush()?;
    stream.shutdown(Shutdown::Write)?;
    // What is still to come is read, so that the answer is not lost with the connection.
    let _ = stream.read(&mut [0; 16]);
    Ok(())
}
