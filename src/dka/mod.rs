//! Dynamic Knowledge Aggregation: one pass, as SQL over tables (the paper's section 3.4).
//!
//! A pass joins what the frozen model believes of each picture (`prior_logits`) with what the model under training believes now
//! (`fusion_logits`) into a pseudo-label. How, says a [`Statement`]: the shipped one is `argmax.sql`, and a pipeline may name
//! its own. [`pass::pseudo_labels`] runs it and checks its rows.

mod checked;
pub mod pass;
pub mod statement;
pub mod steps;

pub use pass::{PassInput, PseudoLabels, Summary, pseudo_labels};
pub use statement::Statement;
pub use steps::Steps;
