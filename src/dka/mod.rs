//! Dynamic Knowledge Aggregation: one pass, as SQL over tables (the paper's section 3.4).
//!
//! A pass combines what the frozen model predicts for each picture (`prior_logits`) with what the
//! model under training predicts now (`fusion_logits`) into a pseudo-label. A [`Statement`] says
//! how: that of a [`Policy`], or one that the pipeline names. [`pass::pseudo_labels`] runs it and
//! checks its rows.

mod balance;
mod checked;
mod logits_table;
mod parameters;
pub mod pass;
mod policies;
mod settings;
mod side_by_side;
pub mod statement;
pub mod steps;

pub use balance::Balance;
pub use parameters::{LOGIT_SCALE, Parameters};
pub use pass::{PassInput, PseudoLabels, Summary, balanced_pseudo_labels, pseudo_labels};
pub use policies::Policy;
pub use settings::Dka;
pub use statement::Statement;
pub use steps::Steps;
