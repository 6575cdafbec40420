//! Words, numbers and paths as people write and mistype them, and small text files of users.

pub(crate) mod file;
pub(crate) mod json;
pub(crate) mod lfs;
pub(crate) mod line;
pub(crate) mod list;
pub(crate) mod names;
pub mod nearest;
pub(crate) mod numbers;
pub(crate) mod path;
pub(crate) mod pattern;
pub(crate) mod shell;
pub(crate) mod terminal;
