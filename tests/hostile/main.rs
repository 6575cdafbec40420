//! Inputs that cannot hurt: pictures, models and text files as an enemy would send them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

mod corpus;
#[path = "../common/pipeline.rs"]
mod pipeline;
#[path = "../common/tars.rs"]
mod tars;

mod inputs;
mod models;
mod pictures;
mod statements;
