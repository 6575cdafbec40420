//! Ablations: rows of settings, on several pipelines, with several seeds, and one figure of each
//! run.
//!
//! [`load`] reads the file, [`Cell::all`] makes its runs and checks them, [`known`] looks up which
//! of them the store has, [`run()`] computes the others and writes the table `ablations`, and
//! [`markdown`] shows it. [`choose`] picks a row without labels.

mod cells;
pub mod choose;
mod missing;
mod names;
mod reader;
mod report;
mod run;
mod spec;
mod table;

pub use cells::Cell;
pub use missing::leave_out_missing;
pub use report::{markdown, means};
pub use run::{Figure, Figures, Wanted, fetched, known, run};
pub use spec::{Ablation, Axis, Metric, Missing, Published, Row, load};
pub use table::batch;
