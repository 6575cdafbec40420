//! Earlier runs: their rows, finding one, opening its model, comparing them, what is worth doing
//! after one, and what belongs to which in a store.

pub mod adapted_model;
pub mod compare;
pub mod holdings;
pub mod lookup;
pub mod next_steps;
pub mod reached;
pub(crate) mod record;
pub mod references;
pub mod sql_scope;
pub mod stored_run;
