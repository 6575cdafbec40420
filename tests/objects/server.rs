//! A store of objects on loopback: the part of S3's protocol that reading and writing use, in pages
//! of few objects, plain files for readers of HTTP, and failures on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::http::{self, Faults, Request};

/// Objects of a page of a list.
const PAGE: usize = 3;

/// The credentials that the bucket opens for.
pub const ID: &str = "AKIACANARY0000000001";
pub const SECRET: &str = "canary/8b1fSecretOfNobody+donottell42";

/// The store; its threads end with the process. Its bucket is called `birds`.
pub struct Server {
    at: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    faults: Faults<Fault>,
    asked: Mutex<Vec<String>>,
    goes_on: AtomicBool,
    ignores_conditions: AtomicBool,
    /// Bytes that were given of each object.
    bytes: Mutex<BTreeMap<String, usize>>,
}

/// What a request for an object or a list meets in place of its answer.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// A status, with S3's code for it.
    Status(u16, &'static str),
    /// The connection ends after so many bytes.
    Cut(usize),
    /// So many bytes, and the others once the test says so.
    Stall(usize),
    /// The object is another one by now.
    Other,
    /// The page of another program, as if it were an answer.
    Nonsense,
    /// What was asked for is done, and the connection ends without an answer.
    Lost,
}

impl Server {
    pub fn start() -> Server {
        let (state, listener) = (Arc::new(State::default()), TcpListener::bind("127.0.0.1:0").unwrap());
        let server = Server { at: listener.local_addr().unwrap(), state: state.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                // A client that goes away is no failure of the server.
                thread::spawn(move || state.serve(stream));
            }
        });
        server
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.at)
    }

    /// A command that asks this store alone, and keeps what it fetches in `cache`.
    pub fn environment<'a>(&self, command: &'a mut Command, cache: &Path) -> &'a mut Command {
        for variable in ["AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(variable);
        }
        command
            .env("AWS_ENDPOINT_URL", self.address())
            .env("AWS_ACCESS_KEY_ID", ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("MICROCLIP_CACHE", cache)
            .env("NO_PROXY", "127.0.0.1")
    }

    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.state.objects.lock().unwrap().insert(key.to_owned(), bytes.into());
    }

    /// Puts the files in and below a folder, under a prefix.
    pub fn put_folder(&self, prefix: &str, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let key = format!("{prefix}/{}", path.file_name().unwrap().to_str().unwrap());
            match path.is_dir() {
                true => self.put_folder(&key, &path),
                false => self.put(&key, std::fs::read(&path).unwrap()),
            }
        }
    }

    pub fn remove(&self, key: &str) {
        self.state.objects.lock().unwrap().remove(key).unwrap();
    }

    /// Lets the next requests fail whose path contains a text, so many times.
    pub fn fail(&self, path: &str, times: usize, fault: Fault) {
        self.state.faults.add(path, times, fault);
    }

    /// Sends the rest of what was stalled.
    pub fn go_on(&self) {
        self.state.goes_on.store(true, Ordering::Relaxed);
    }

    /// Writes whatever it is asked to, as some servers do.
    pub fn ignore_conditions(&self) {
        self.state.ignores_conditions.store(true, Ordering::Relaxed);
    }

    /// The names of all objects below a prefix.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.state.objects.lock().unwrap().keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub fn object(&self, key: &str) -> Vec<u8> {
        self.state.objects.lock().unwrap()[key].clone()
    }

    /// Takes the number of bytes that were given since the last time of objects below a prefix.
    pub fn bytes_given(&self, prefix: &str) -> usize {
        let given = std::mem::take(&mut *self.state.bytes.lock().unwrap());
        given.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, bytes)| bytes).sum()
    }

    /// Takes the keys of the objects that were given since the last time.
    pub fn given(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.asked.lock().unwrap())
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(Request { method, path, headers, body }) = http::read(&stream) else { return Ok(()) };
        let fault = self.faults.take(&format!("{method} {path}"));
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let is_signed = headers
            .get("authorization")
            .is_some_and(|signed| signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={ID}/")));
        let (key, is_open) = match (path.strip_prefix("/birds"), path.strip_prefix("/open/")) {
            (Some(key), _) => (unescaped(key.trim_start_matches('/')), false),
            (None, Some(key)) => (unescaped(key), true),
            (None, None) => (String::new(), true),
        };
        let range = headers.get("range").map(String::as_str);
        let answer = match fault {
            Some(Fault::Status(status, code)) => refused(status, code),
            Some(Fault::Nonsense) => ("HTTP/1.1 200 OK\r\n".to_owned(), b"<html>come back later</html>".to_vec()),
            _ if !is_signed && !is_open => refused(403, "AccessDenied"),
            _ if method == "PUT" => self.written(&key, &headers, body),
            _ if method == "POST" && query == "delete" => self.removed(&String::from_utf8(body).unwrap()),
            _ if query.contains("list-type=2") && is_open => refused(404, "NoSuchBucket"),
            _ if query.contains("list-type=2") => self.list(query),
            _ => self.object(&key, range, matches!(fault, Some(Fault::Other))),
        };
        if matches!(fault, Some(Fault::Lost)) {
            return stream.shutdown(Shutdown::Both);
        }
        let (head, body) = answer;
        if method == "GET" && !query.contains("list-type") && fault.is_none() {
            *self.bytes.lock().unwrap().entry(key.clone()).or_default() += body.len();
            self.asked.lock().unwrap().push(key);
        }
        stream.write_all(format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())?;
        if method == "HEAD" {
            return Ok(());
        }
        let end = if let Some(Fault::Cut(end)) = fault { end.min(body.len()) } else { body.len() };
        let stall = if let Some(Fault::Stall(first)) = fault { first } else { end };
        http::write_body(stream, &body[..end], stall, &self.goes_on)
    }

    /// Writes an object, if it is as the request expects it.
    fn written(&self, key: &str, headers: &BTreeMap<String, String>, body: Vec<u8>) -> (String, Vec<u8>) {
        let mut all = self.objects.lock().unwrap();
        let there = all.get(key).map(|bytes| tag(bytes));
        let expects = |name: &str| headers.get(name).filter(|_| !self.ignores_conditions.load(Ordering::Relaxed));
        let is_new = expects("if-none-match").is_none() || there.is_none();
        if !is_new || expects("if-match").is_some_and(|expected| there.as_ref() != Some(expected)) {
            return refused(412, "PreconditionFailed");
        }
        let head = format!("HTTP/1.1 200 OK\r\nETag: {}\r\n", tag(&body));
        all.insert(key.to_owned(), body);
        (head, Vec::new())
    }

    /// Removes the objects that a request names.
    fn removed(&self, request: &str) -> (String, Vec<u8>) {
        let mut all = self.objects.lock().unwrap();
        let mut text = String::from("<?xml version=\"1.0\"?><DeleteResult>");
        for key in request.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>")).map(|(key, _)| key) {
            all.remove(key);
            write!(text, "<Deleted><Key>{key}</Key></Deleted>").unwrap();
        }
        text.push_str("</DeleteResult>");
        ("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n".to_owned(), text.into_bytes())
    }

    fn object(&self, key: &str, range: Option<&str>, is_other: bool) -> (String, Vec<u8>) {
        let all = self.objects.lock().unwrap();
        let Some(bytes) = all.get(key) else { return refused(404, "NoSuchKey") };
        let tag = if is_other { "\"other\"".to_owned() } else { tag(bytes) };
        let about = format!("ETag: {tag}\r\nLast-Modified: Fri, 27 Nov 2026 20:00:00 GMT\r\n");
        let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let Some((from, to)) = range.and_then(|(from, to)| Some((from.parse().ok()?, to.parse::<usize>().ok()?)))
        else {
            return (format!("HTTP/1.1 200 OK\r\n{about}"), bytes.clone());
        };
        let part = bytes[from..bytes.len().min(to + 1)].to_vec();
        let of = format!("Content-Range: bytes {from}-{}/{}\r\n", from + part.len() - 1, bytes.len());
        (format!("HTTP/1.1 206 Partial Content\r\n{about}{of}"), part)
    }

    fn list(&self, query: &str) -> (String, Vec<u8>) {
        let of = |name: &str| {
            let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            value.map(|value| unescaped(&value.replace('+', " "))).unwrap_or_default()
        };
        let (prefix, first) = (of("prefix"), of("continuation-token").parse().unwrap_or(0));
        let all = self.objects.lock().unwrap();
        let is_flat = of("delimiter").is_empty();
        let folder = |key: &str| Some(format!("{prefix}{}/", key.strip_prefix(&prefix)?.split_once('/')?.0));
        let (mut found, mut folders) = (Vec::new(), BTreeSet::new());
        let after = of("start-after");
        for (key, bytes) in all.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after) {
            match folder(key).filter(|_| !is_flat) {
                Some(folder) => drop(folders.insert(folder)),
                None => found.push((key, bytes)),
            }
        }
        let mut text = String::from("<?xml version=\"1.0\"?><ListBucketResult><Name>birds</Name>");
        for (key, bytes) in found.iter().skip(first).take(PAGE) {
            let key = key.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
            let tag = tag(bytes).replace('"', "&quot;");
            write!(
                text,
                "<Contents><Key>{key}</Key><Size>{}</Size><ETag>{tag}</ETag>\
                 <LastModified>2026-11-27T20:00:00.000Z</LastModified></Contents>",
                bytes.len()
            )
            .unwrap();
        }
        for folder in folders.iter().filter(|_| first == 0) {
            write!(text, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>").unwrap();
        }
        let more = first + PAGE < found.len();
        if more {
            write!(text, "<NextContinuationToken>{}</NextContinuationToken>", first + PAGE).unwrap();
        }
        write!(text, "<IsTruncated>{more}</IsTruncated></ListBucketResult>").unwrap();
        ("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n".to_owned(), text.into_bytes())
    }
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &blake3::hash(bytes).to_hex()[..32])
}

fn refused(status: u16, code: &str) -> (String, Vec<u8>) {
    let body =
        format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>As the test wants it.</Message></Error>");
    (format!("HTTP/1.1 {status} Refused\r\nContent-Type: application/xml\r\n"), body.into_bytes())
}

fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, more @ ..] = rest {
        let code = more.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
