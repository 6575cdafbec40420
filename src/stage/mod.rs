//! The stages, one module each: a stage reads tables and writes tables.
//!
//! A stage knows its tables, the modules below it, how to report progress ([`progress`]) and when
//! to stop ([`crate::stop`]); it knows nothing of the pipeline file. An anti-join on a table's key
//! decides what is cached, so that resuming, adding pictures and reusing a cache are one mechanism.

pub mod adapt;
pub mod answers;
pub mod ask;
pub mod calibrate;
pub mod checksums;
pub mod class_bias;
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
pub mod neighbours;
mod picture_set;
pub mod pictures;
pub mod pixels;
pub(crate) mod pool;
pub mod predict;
pub mod prior;
pub mod progress;
pub mod second;
pub mod stored_tensors;
