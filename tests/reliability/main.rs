//! A store that never loses work: the real binary killed, starved of space and started twice, and
//! its files damaged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

#[path = "../common/http.rs"]
mod http;
#[path = "../hub/server.rs"]
mod hub_server;
#[path = "../common/pipeline.rs"]
mod pipeline;
mod rows;
#[path = "../describe/server.rs"]
mod server;

mod answers;
mod checksums;
mod damage;
mod disk;
mod finished;
mod kill;
mod locks;
mod old;
mod power;
mod resume;
mod secrets;
mod shards;
