//! Choosing a row of an ablation without labels.
//!
//! [`judge`] looks at what the runs answer ([`Answered`](answers::Answered)) about pictures whose
//! features do not change ([`Set`](set::Set)), and gives each row of each set a value by every
//! [`Criterion`]. [`Choice`] ranks the rows by these values alone: within a set, since sets are not
//! alike in what is easy about them, and then by the mean over the sets. Figures of accuracy are no
//! input of either; [`markdown`] shows them beside the choice once it is made.

mod answers;
mod choice;
mod criteria;
mod judge;
mod rank;
mod report;
mod set;
mod table;

pub use choice::Choice;
pub use criteria::Criterion;
pub use judge::{Judged, judge};
pub use report::markdown;
pub use table::batch;
