//! A language model's server on loopback, as far as a client can tell: it keeps what it was asked,
//! and answers as a test wants.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{self, Request};

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub path: String,
    pub authorization: Option<String>,
    pub body: Value,
    /// How often the same was asked before.
    pub before: usize,
}

impl Seen {
    /// The question, without what is said of the task.
    pub fn question(&self) -> &str {
        self.body["messages"][1]["content"].as_str().unwrap_or_default()
    }

    /// The name between the first quotation marks of the question.
    pub fn class(&self) -> &str {
        self.question().split('"').nth(1).unwrap_or_default()
    }

    /// The form that is asked for.
    pub fn form(&self) -> &str {
        self.body["response_format"]["type"].as_str().unwrap_or("none")
    }
}

/// What the server does.
pub enum Reply {
    /// Answers with the sentences that were asked for.
    Well,
    /// Answers with these words.
    Words(String),
    /// A status, headers, and a body.
    Status(u16, &'static str, String),
    /// Says that the body is longer than what it sends.
    Half,
    /// Closes the connection without a word.
    Close,
    /// Waits first.
    Late(Duration, Box<Reply>),
}

/// The server; it ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server that does what `reply` says to a request, of which the number is given, from
    /// 0.
    pub fn new(reply: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, over, reply) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)), Arc::new(reply));
        let (requests, ended) = (seen.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(connection), requests, reply) = (connection, requests.clone(), reply.clone()) else { continue };
                std::thread::spawn(move || {
                    let Some(mut request) = read(&connection) else { return };
                    let number = {
                        let mut requests = requests.lock().unwrap();
                        request.before = requests.iter().filter(|earlier: &&Seen| earlier.body == request.body).count();
                        requests.push(request.clone());
                        requests.len() - 1
                    };
                    answer(&connection, &request, reply(&request, number));
                    let _ = connection.shutdown(Shutdown::Both);
                });
            }
        });
        Server { address, seen, over, thread: Some(thread) }
    }

    /// Its address, as `describe.endpoint` has it.
    pub fn endpoint(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The number of requests so far.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

fn read(connection: &TcpStream) -> Option<Seen> {
    let Request { path, mut headers, body, .. } = http::read(connection)?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some(Seen { at: Instant::now(), path, authorization: headers.remove("authorization"), body, before: 0 })
}

fn answer(mut connection: &TcpStream, request: &Seen, reply: Reply) {
    let mut send = |status: u16, headers: &str, body: &str, length: usize| {
        let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
        let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body.as_bytes()));
    };
    let mut whole = |status, headers: &str, body: &str| send(status, headers, body, body.len());
    match reply {
        Reply::Well => {
            let sentences = json!({"sentences": sentences(request)}).to_string();
            whole(200, "content-type: application/json\r\n", &chat(&sentences));
        }
        Reply::Words(words) => whole(200, "content-type: application/json\r\n", &chat(&words)),
        Reply::Status(status, headers, body) => whole(status, headers, &body),
        Reply::Half => {
            let body = chat("It is");
            let half = &body[..body.len() / 2];
            send(200, "content-type: application/json\r\n", half, body.len());
        }
        Reply::Close => {}
        Reply::Late(wait, reply) => {
            std::thread::sleep(wait);
            answer(connection, request, *reply);
        }
    }
}

/// As many sentences as a question asks for: others each time, and of each model and seed.
pub fn sentences(request: &Seen) -> Vec<String> {
    let (question, class) = (request.question(), request.class());
    let wanted = question.split("Write ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let Seen { body, before, .. } = request;
    let asked = format!("{question} {} {} {before}", body["model"], body["seed"]);
    let mark = &blake3::hash(asked.as_bytes()).to_hex()[..6];
    (1..=wanted.parse().unwrap()).map(|n: usize| format!("The {class} shows detail {n} of {mark}.")).collect()
}

/// The body of an answer with these words, which took 100 tokens to read and 40 to write.
pub fn chat(words: &str) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "loopback-2026",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140},
    })
    .to_string()
}
