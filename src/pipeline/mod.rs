//! The pipeline file, its plan, and running it.

pub mod ablation;
pub mod adapted;
pub mod bar;
pub mod cache;
mod check;
mod choice;
pub mod chosen;
pub mod compare;
mod defaults;
mod departures;
mod document;
pub mod export;
mod finished;
pub mod json_schema;
mod keys;
mod lines;
pub(crate) mod meter;
mod mistakes;
mod overrides;
pub mod parse;
pub mod plan;
mod record;
pub mod run;
mod settings;
pub mod settings_page;
pub mod signal;
mod some_of;
pub mod spec;
mod suggest;
pub(crate) mod turn;
pub mod view;
mod workspace;

pub use parse::load;
pub use spec::Spec;
