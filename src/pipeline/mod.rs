//! Running a pipeline: what is missing ([`plan`]), and computing it ([`run`]), or a shard of what
//! is frozen ([`shard`]), also by executors on other machines ([`on_cluster`]).

mod begin;
pub mod describe;
pub mod on_cluster;
pub mod outcome;
pub mod plan;
pub mod run;
pub mod shard;
mod verify;
pub(crate) mod wait_for_lock;
