//! `microclip-pipe` adapts a CLIP model to a folder of unlabelled, fine-grained pictures by the method microCLIP
//! (arXiv 2510.02270), as a streaming dataflow over Arrow and Parquet tables.
//!
//! How data flows, from the street to the cellar; a module uses only those below it:
//!
//! ```text
//! cli        one file per verb; parses, prints, decides the exit code
//! report     a run as one HTML page: figures by SQL, charts, pictures, where the model looks
//! pipeline   the TOML file (spec), what remains to be done (plan), doing it (run), grids of runs (ablation), progress
//! stage      ingest -> embed -> views -> describe -> prior -> adapt (passes) -> evaluate: tables in, table out
//! source     where pictures come from: folder, list, Hugging Face Parquet
//! dka        the pass: prior and fusion logits joined by SQL into pseudo-labels
//! fusion     saliency, SOAP, TokenFusion, heads, loss: the method on tensors
//! clip       configuration, weights, tokenizer, text tower, vision tower
//! image      decode, resize, views, augmentation
//! table      the schemas of all tables, the SQL session, its functions, Arrow <-> tensors
//! store      spaces, parts: what is on disk, and when it counts as there
//! device     where tensors live, and in which precision
//! cores      how many this process may use, and turns on them
//! text_file  small texts that users bring, read up to a bound
//! memory     what the allocator keeps
//! stop       the flag by which running work is asked to end
//! error      what went wrong, where, and what to do
//! ```

pub mod cli;
pub mod clip;
pub mod cores;
pub mod device;
pub mod dka;
pub mod error;
pub mod fusion;
pub mod image;
pub mod memory;
pub mod pipeline;
pub mod report;
pub mod source;
pub mod stage;
pub mod stop;
pub mod store;
pub mod table;
mod text_file;

pub use error::{Error, Result};
