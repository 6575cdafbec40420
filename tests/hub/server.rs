//! A hub on loopback: the part of the Hugging Face Hub's protocol that fetching uses, with the
//! large files on a second host, and failures on demand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::http::{self, Faults, Request};

/// A larger file is kept as by LFS: named by its SHA-256, and given by the second host.
const LARGE: usize = 1_000;

/// Files of a page of a list.
const PAGE: usize = 3;

/// The token that gated repositories open for.
pub const TOKEN: &str = "hf_canary5f0c81d2donottell";

/// The hub; its threads end with the process.
pub struct Server {
    hub: SocketAddr,
    files: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    repositories: Mutex<BTreeMap<String, Repository>>,
    faults: Faults<Fault>,
    asked: Mutex<Vec<Asked>>,
    is_mirror: AtomicBool,
    goes_on: AtomicBool,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Whether it came to the second host.
    pub second: bool,
    pub path: String,
    /// Its headers; names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// What a request meets in place of its answer.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// A status, with the hub's code for it and a wait in seconds.
    Status(u16, &'static str, Option<u64>),
    /// The connection ends after so many bytes of the file.
    Cut(usize),
    /// One of the bytes is another.
    Wrong,
    /// The whole file, whatever part was asked for.
    Whole,
    /// The start of the file as if it were the part that was asked for.
    OtherPart,
    /// Nothing for a minute.
    Silence,
    /// The answer, a second late.
    Late,
    /// So many bytes, and the others once the test says so.
    Stall(usize),
    /// Something that is no hub.
    Nonsense,
}

/// A repository: commits by their names, and the files of each.
#[derive(Default, Clone)]
struct Repository {
    revisions: BTreeMap<String, String>,
    commits: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    gated: bool,
    discussions: Vec<Value>,
}

impl Server {
    pub fn start() -> Server {
        let state = Arc::new(State::default());
        let [hub, files] = [false, true].map(|second| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            (second, listener.local_addr().unwrap(), listener)
        });
        let (to, from) = (hub.1, files.1);
        for (second, _, listener) in [hub, files] {
            let state = state.clone();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = state.clone();
                    // A client that goes away is no failure of the server.
                    thread::spawn(move || state.serve(stream, second, from));
                }
            });
        }
        Server { hub: to, files: from, state }
    }

    /// The address for `HF_ENDPOINT`.
    pub fn address(&self) -> String {
        format!("http://{}", self.hub)
    }

    /// A command that asks this hub alone, and keeps what it fetches in `home`.
    pub fn environment<'a>(&self, command: &'a mut Command, home: &Path) -> &'a mut Command {
        for variable in ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(variable);
        }
        command.env("HF_ENDPOINT", self.address()).env("HF_HOME", home).env("NO_PROXY", "127.0.0.1")
    }

    /// Adds a commit with these files, which the branch then has; returns the commit.
    /// `repository` is `models/ORG/NAME` or `datasets/ORG/NAME`.
    pub fn commit(&self, repository: &str, branch: &str, files: &[(&str, Vec<u8>)]) -> String {
        let files: BTreeMap<String, Vec<u8>> = files.iter().map(|(path, b)| ((*path).to_owned(), b.clone())).collect();
        let commit = hash(format!("{:?}", files).as_bytes());
        let mut all = self.state.repositories();
        let found = all.entry(repository.to_owned()).or_default();
        found.revisions.insert(branch.to_owned(), commit.clone());
        found.commits.insert(commit.clone(), files);
        commit
    }

    /// Adds the model in a folder.
    pub fn model(&self, id: &str, folder: &Path) -> String {
        let files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
            .collect();
        let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        self.commit(&format!("models/{id}"), "main", &files)
    }

    /// Leaves the addresses in headers as the hub itself has sent them.
    pub fn mirror(&self) {
        self.state.is_mirror.store(true, Ordering::Relaxed);
    }

    /// Opens a pull request, as far as the API lists it.
    pub fn pull_request(&self, repository: &str, number: u64, author: &str, title: &str, status: &str) {
        let opened = json!({
            "num": number, "title": title, "status": status, "isPullRequest": true, "author": {"name": author, "type": "user"},
        });
        self.state.repositories().get_mut(repository).unwrap().discussions.push(opened);
    }

    /// Gives a repository only to those with the token.
    pub fn gate(&self, repository: &str) {
        self.state.repositories().get_mut(repository).unwrap().gated = true;
    }

    /// Lets the next requests fail whose path contains a text, so many times.
    pub fn fail(&self, path: &str, times: usize, fault: Fault) {
        self.state.faults.add(path, times, fault);
    }

    /// Sends the rest of what was stalled.
    pub fn go_on(&self) {
        self.state.goes_on.store(true, Ordering::Relaxed);
    }

    /// Takes the requests that have come since the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.state.asked.lock().unwrap())
    }

    /// Takes the paths of these requests, without what follows a question mark.
    pub fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.path.split('?').next().unwrap().to_owned()).collect()
    }

    /// A message with this hub's address taken out.
    pub fn shown(&self, said: &[u8]) -> String {
        String::from_utf8_lossy(said)
            .replace(&self.address(), "HUB")
            .replace(&format!("http://{}", self.files), "FILES")
    }
}

/// A name for bytes, of the length of Git's.
fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..40].to_owned()
}

/// Git's name for a file's bytes.
fn git(bytes: &[u8]) -> String {
    format!("{:x}", Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize())
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

impl State {
    fn repositories(&self) -> MutexGuard<'_, BTreeMap<String, Repository>> {
        self.repositories.lock().unwrap()
    }

    /// Reads one request and answers it.
    fn serve(&self, mut stream: TcpStream, second: bool, files: SocketAddr) -> std::io::Result<()> {
        let Some(Request { method, path, headers, .. }) = http::read(&stream) else { return Ok(()) };
        let asked = Asked { second, path: path.clone(), headers };
        self.asked.lock().unwrap().push(asked.clone());
        let fault = self.faults.take(&path);
        let answer = match fault {
            Some(Fault::Silence) => {
                thread::sleep(Duration::from_secs(60));
                return Ok(());
            }
            Some(Fault::Status(status, code, wait)) => {
                let answer = Answer::new(status).with("X-Error-Code", code);
                wait.into_iter().fold(answer, |answer, wait| answer.with("Retry-After", &wait.to_string()))
            }
            Some(Fault::Nonsense) => Answer::new(200).body(b"<html>log in to this network</html>".to_vec()),
            other => {
                if let Some(Fault::Late) = other {
                    thread::sleep(Duration::from_secs(1));
                }
                if second { self.large(&path) } else { self.hub(&asked, files) }
            }
        };
        let answer = answer.part(asked.headers.get("range").map(String::as_str), fault);
        stream.write_all(answer.head().as_bytes())?;
        if method == "HEAD" {
            return Ok(());
        }
        let end = if let Some(Fault::Cut(end)) = fault { end.min(answer.body.len()) } else { answer.body.len() };
        let stall = if let Some(Fault::Stall(first)) = fault { first } else { end };
        http::write_body(stream, &answer.body[..end], stall, &self.goes_on)
    }

    /// Returns a large file, which the second host gives to whoever has its signed address.
    fn large(&self, path: &str) -> Answer {
        let wanted = path.trim_start_matches("/large/").split('?').next().unwrap_or_default();
        let all = self.repositories();
        let files = all.values().flat_map(|repository| repository.commits.values().flat_map(BTreeMap::values));
        let found = files.into_iter().find(|bytes| sha256(bytes) == wanted && path.ends_with("?signature=secret"));
        found.map_or(Answer::new(403), |bytes| Answer::new(200).body(bytes.clone()))
    }

    fn hub(&self, asked: &Asked, files: SocketAddr) -> Answer {
        let path = asked.path.replace("%2F", "/");
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let all = self.repositories();
        let rest = path.trim_start_matches("/api/");
        let is_api = rest.len() < path.len();
        let found = all.iter().find_map(|(name, repository)| {
            let name = if is_api { name } else { name.trim_start_matches("models/") };
            let rest = if is_api { rest } else { path.trim_start_matches('/') };
            Some((repository, rest.strip_prefix(name)?.strip_prefix('/')?))
        });
        let Some((repository, rest)) = found else {
            // As the hub does, which does not say whether there is a private one.
            let status = if asked.headers.contains_key("authorization") { 404 } else { 401 };
            return Answer::new(status).with("X-Error-Code", "RepoNotFound");
        };
        if repository.gated && asked.headers.get("authorization") != Some(&format!("Bearer {TOKEN}")) {
            let status = if asked.headers.contains_key("authorization") { 403 } else { 401 };
            return Answer::new(status).with("X-Error-Code", "GatedRepo");
        }
        let (verb, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let commit_of = |revision: &str| {
            let commit = repository.revisions.get(revision).map_or(revision, String::as_str);
            repository.commits.get_key_value(commit)
        };
        match verb {
            "revision" => match commit_of(rest) {
                Some((commit, all)) => Answer::new(200).json(&listing(commit, all)),
                None => Answer::new(404).with("X-Error-Code", "RevisionNotFound"),
            },
            "discussions" => {
                Answer::new(200).json(&json!({"discussions": repository.discussions, "count": 1, "start": 0}))
            }
            "tree" => match commit_of(rest) {
                Some((_, all)) => {
                    let first =
                        query.split('&').find_map(|part| part.strip_prefix("cursor=")?.parse().ok()).unwrap_or(0);
                    let answer = Answer::new(200).json(&tree(all, first));
                    let hub = match self.is_mirror.load(Ordering::Relaxed) {
                        true => "https://huggingface.co".to_owned(),
                        false => format!("http://{}", asked.headers["host"]),
                    };
                    let next = format!("<{hub}{path}?recursive=true&cursor={}>; rel=\"next\"", first + PAGE);
                    if first + PAGE < all.len() { answer.with("Link", &next) } else { answer }
                }
                None => Answer::new(404).with("X-Error-Code", "RevisionNotFound"),
            },
            "resolve" => {
                let found =
                    rest.match_indices('/').find_map(|(at, _)| Some((commit_of(&rest[..at])?, &rest[at + 1..])));
                let Some(((commit, all), file)) = found else {
                    return Answer::new(404).with("X-Error-Code", "RevisionNotFound");
                };
                match all.get(file) {
                    None => Answer::new(404).with("X-Error-Code", "EntryNotFound").with("X-Repo-Commit", commit),
                    Some(bytes) if bytes.len() > LARGE => Answer::new(302)
                        .with("X-Repo-Commit", commit)
                        .with("X-Linked-Etag", &format!("\"{}\"", sha256(bytes)))
                        .with("X-Linked-Size", &bytes.len().to_string())
                        .with("Location", &format!("http://{files}/large/{}?signature=secret", sha256(bytes))),
                    Some(bytes) => Answer::new(200)
                        .with("X-Repo-Commit", commit)
                        .with("ETag", &format!("\"{}\"", git(bytes)))
                        .body(bytes.clone()),
                }
            }
            _ => Answer::new(404),
        }
    }
}

/// What the API says of a revision. It cuts the list of a large repository's files off.
fn listing(commit: &str, files: &BTreeMap<String, Vec<u8>>) -> Value {
    let some: Vec<Value> = files.keys().take(1).map(|path| json!({"rfilename": path})).collect();
    json!({"_id": "1", "id": "a/b", "sha": commit, "siblings": some})
}

/// A page of what the API says of the tree of a revision.
fn tree(files: &BTreeMap<String, Vec<u8>>, first: usize) -> Value {
    let file = |(path, bytes): (&String, &Vec<u8>)| {
        let mut file = json!({"type": "file", "path": path, "size": bytes.len(), "oid": git(bytes)});
        if bytes.len() > LARGE {
            file["lfs"] = json!({"oid": sha256(bytes), "size": bytes.len(), "pointerSize": 134});
        }
        file
    };
    json!(files.iter().skip(first).take(PAGE).map(file).collect::<Vec<_>>())
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    fn with(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn body(self, body: Vec<u8>) -> Answer {
        Answer { body, ..self }
    }

    fn json(self, value: &Value) -> Answer {
        self.with("Content-Type", "application/json").body(value.to_string().into_bytes())
    }

    /// Cuts out the part that a `Range` asks for, and makes what a fault makes of it.
    fn part(mut self, range: Option<&str>, fault: Option<Fault>) -> Answer {
        if self.status != 200 {
            return self;
        }
        if let Some(Fault::Wrong) = fault {
            let middle = self.body.len() / 2;
            self.body[middle] ^= 1;
        }
        let first = range.and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse::<usize>().ok());
        let Some(first) = first.filter(|_| !matches!(fault, Some(Fault::Whole))) else { return self };
        let all = self.body.len();
        if first >= all {
            return Answer::new(416);
        }
        let first = if let Some(Fault::OtherPart) = fault { 0 } else { first };
        self.status = 206;
        self.body.drain(..first);
        self.with("Content-Range", &format!("bytes {first}-{}/{all}", all - 1))
    }

    fn head(&self) -> String {
        let mut head =
            format!("HTTP/1.1 {} OK\r\nConnection: close\r\nContent-Length: {}\r\n", self.status, self.body.len());
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head + "\r\n"
    }
}
