//! Dynamic Knowledge Aggregation: one pass, as SQL over tables (the paper's section 3.4).
//!
//! A pass joins what the frozen model believes of each picture (`prior_logits`) with what the model under training believes now
//! (`fusion_logits`) into a pseudo-label. How, says a [`Statement`]: that of a [`Policy`], or one that a pipeline names.
//! [`pass::pseudo_labels`] runs it and checks its rows.

mod checked;
mod parameters;
pub mod pass;
mod policies;
mod settings;
pub mod statement;
pub mod steps;

pub use parameters::{LOGIT_SCALE, Parameters};
pub use pass::{PassInput, PseudoLabels, Summary, pseudo_labels};
pub use policies::Policy;
pub use settings::Dka;
pub use statement::Statement;
pub use steps::Steps;
