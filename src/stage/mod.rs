//! One file per stage: tables in, one table out.

pub mod progress;
pub mod stop;
