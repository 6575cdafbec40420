//! What helps before and after a run: a first pipeline file, a look at what may be wrong, a model for other programs.

pub mod doctor;
pub mod export;
pub mod init;
