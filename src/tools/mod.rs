//! Tools for before and after a run: a first pipeline file, diagnosing problems, exporting a model
//! for other programs.

pub mod doctor;
pub mod export;
pub mod init;
pub mod models;
