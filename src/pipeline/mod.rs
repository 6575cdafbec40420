//! The pipeline file, its plan, and running it.

pub mod ablation;
pub mod adapted;
pub mod bar;
mod check;
mod choice;
pub mod chosen;
mod document;
mod finished;
mod keys;
mod lines;
pub(crate) mod meter;
mod overrides;
pub mod parse;
mod record;
mod report;
pub mod run;
mod settings;
pub mod signal;
pub mod spec;
mod suggest;
mod workspace;

pub use parse::load;
pub use spec::Spec;
