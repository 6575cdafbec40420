//! One file per stage: tables in, one table out.
//!
//! A stage knows its tables, the model's rooms below it, how to say how far it is ([`progress`]) and when to stop ([`crate::stop`]);
//! it knows nothing of the pipeline file. What is cached is decided by an anti-join on the table's key, so that resuming,
//! adding pictures and reusing a cache are one mechanism.

pub mod adapt;
pub mod answers;
pub mod calibrate;
pub mod checksums;
mod cuts;
pub mod describe;
mod encoded;
pub mod evaluate;
pub mod features;
pub mod feed;
pub mod frozen;
pub mod ingest;
pub mod job;
mod logits;
pub mod pictures;
pub mod pixels;
mod pool;
pub mod predict;
pub mod prior;
pub mod progress;
