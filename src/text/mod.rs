//! Words and numbers as people read and mistype them, and small texts that users bring.

pub(crate) mod file;
pub(crate) mod list;
pub mod nearest;
pub(crate) mod numbers;
