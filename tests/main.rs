//! What a user would notice: the real binary, the tables it writes, and the library against golden
//! values. A module a subject.
//!
//! One executable, since each would link DataFusion and libtorch anew. What kills processes, and
//! what is hostile, have their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

mod common;
#[path = "common/http.rs"]
mod http;
#[path = "common/patches.rs"]
mod patches;
#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "reliability/rows.rs"]
mod rows;
#[path = "sql/small_store.rs"]
mod small_store;
mod spec_folder;
#[path = "common/tars.rs"]
mod tars;
#[path = "common/terminal.rs"]
mod terminal;

mod ablate;
mod ablate_choose;
mod allocator;
mod balanced;
mod changed_pictures;
mod class_names;
mod cli_cache;
mod cli_errors;
mod cli_init;
mod cli_init_doctor;
mod cli_init_files;
mod cli_messages;
mod cli_runs;
mod cli_schema;
mod cli_signals;
mod cli_spans;
mod cli_sql;
mod clip_parity;
#[cfg(feature = "cluster")]
mod cluster;
mod composites;
mod constant_pictures;
mod cuda_unopened;
mod describe;
mod dino_parity;
mod dka_laws;
mod embedded_data;
mod export;
mod fiedler;
mod formats_matrix;
mod gpu;
mod hub;
mod jpeg_matrix;
mod keep;
mod licences;
mod method_parity;
mod model_files;
mod neighbours;
mod next_steps;
#[cfg(feature = "stores")]
mod objects;
mod orientation;
mod paper;
mod predict;
mod preprocess_parity;
mod prior;
mod recipes;
mod report;
mod rooms;
mod run;
mod same_bits;
mod second_model;
#[cfg(feature = "flight")]
mod serve;
mod source_folder;
mod source_hf_parquet;
mod source_list;
mod source_webdataset;
mod spec_errors;
mod spec_round_trip;
mod sql_bounded;
mod sql_dka;
mod sql_format;
mod sql_policies;
mod sql_shell;
mod sql_slt;
mod stopping;
mod store_parts;
mod store_pictures;
mod strong_views;
mod style;
