//! `microclip-pipe` adapts a CLIP model to a folder of unlabelled, fine-grained pictures by the
//! method microCLIP (arXiv 2510.02270), as a streaming dataflow over Arrow and Parquet tables.
//!
//! How data flows, from top to bottom; a module uses only those below it:
//!
//! ```text
//! cli        one file per verb; parses, prints, shows progress, decides the exit code
//! serve      the tables for other programs: Arrow Flight SQL, and numbers for Prometheus
//! report     a run as one HTML page: figures by SQL, charts, pictures, where the model looks
//! tools      a first pipeline file, diagnosing problems, exporting a model for other programs
//! ablation   grids of runs, and their figures
//! pipeline   what remains to be done (plan), and running it (run)
//! runs       earlier runs: comparing them, what to do next, what belongs to which in a store
//! workspace  an opened pipeline: model, pictures, sentences, and the ids that results are kept under
//! config     the TOML file: its keys, reading and checking it, its schema and page
//! stage      ingest -> embed -> views -> describe -> prior -> adapt (passes) -> evaluate: tables in, table out
//! source     where pictures come from: folder, list, Parquet, tars (WebDataset), CIFAR; what `predict` is given
//! dka        the pass: prior and fusion logits joined by SQL into pseudo-labels
//! fusion     saliency, SOAP, TokenFusion, heads, loss: the method on tensors
//! dino       a second vision model, without text: DINOv2 and DINOv3
//! clip       configuration, weights, tokenizer, text tower, vision tower
//! image      decode, resize, crops, augmentation
//! cluster    several machines: a scheduler that hands out units of work and statements, executors, drivers
//! table      the schemas of all tables, the SQL session, its functions, Arrow <-> tensors
//! store      spaces, parts: what is on disk or on a store of objects, and when it counts as complete
//! device     where tensors live, and in which precision
//! cores      how many cores this process may use, and turns on them
//! settings   what a setting is: its type, default, bounds, meaning, and what changes with it
//! language_model  asking a language model, and finding the sentences in its answer
//! objects    S3, Google's and Azure's stores, and servers of HTTP: pictures into a folder, objects read and written
//! hub        models and data sets of the Hugging Face Hub: names, cache, fetching
//! memory     how much memory to plan with
//! net        an HTTP client, requests that a stop ends, when to ask again, where a secret may go
//! text       words, numbers and paths as people write and mistype them, small text files of users
//! panics     turning panics into errors
//! stop       the flag that asks running work to stop
//! error      what went wrong, where, and what to do
//! ```

pub mod ablation;
pub mod cli;
pub mod clip;
pub mod cluster;
pub mod config;
pub mod cores;
pub mod device;
pub mod dino;
pub mod dka;
pub mod error;
pub mod fusion;
pub mod hub;
pub mod image;
pub mod language_model;
pub mod memory;
pub mod net;
pub mod objects;
pub mod panics;
pub mod pipeline;
pub mod report;
pub mod runs;
pub mod serve;
pub mod settings;
pub mod source;
pub mod stage;
pub mod stop;
pub mod store;
pub mod table;
mod text;
pub mod tools;
mod workspace;

pub use error::{Error, Result};
