//! Ask: a language model describes the classes. Its answers are kept in the table `llm_answers`,
//! each as it came; the sentences that cleaning makes of them go into the file that `describe`
//! reads ([`crate::stage::describe`]), and into the table `llm_sentences`.
//!
//! An answer is cached by what decides it ([`question`]), so that a second call asks nothing, and
//! one class more asks about one. The file stays the one definition of what a run reads: it can be
//! edited, compared and shared, and a run's id is made of its sentences, wherever they come from.

mod answers;
pub mod clean;
mod domain;
mod merge;
mod question;
mod row;
mod sentences;
mod settings;
mod workers;

pub use answers::{Answers, partition_of};
pub use domain::{About, Domain, Questions, Signs};
pub use merge::{Merged, merged};
pub use question::{Asking, Group, Question, task};
pub use row::Row;
pub use sentences::{Sentence, judged, read_sentences, write_sentences};
pub use settings::{Describe, Names};
pub use workers::{Asked, ask};
