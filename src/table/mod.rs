//! Defines the tables ([`schema`]), converts their rows to tensors and back ([`arrays`],
//! [`tensor`]), and queries them in SQL ([`mod@session`], [`sql_views`], [`udf`], [`mod@format`]).

pub mod arrays;
pub mod catalog;
pub mod column_type;
mod cooperative_joins;
pub mod dims;
pub mod format;
mod joins_by_name;
pub mod kept_logits;
pub mod names;
pub mod parameters;
pub mod query;
pub mod rows;
pub mod rows_read;
mod same_names;
pub mod schema;
pub mod session;
pub mod sql_views;
mod statement_depth;
pub mod tensor;
pub mod typed_rows;
pub mod udf;

pub use arrays::{
    fixed_binary, fixed_list_f32, floats, int32s, int64s, optional_bytes, optional_int32s, optional_strings,
    rows_bytes, rows_f32, strings,
};
pub use dims::Dims;
pub use query::query;
pub use rows::rows;
pub use schema::{TableSchema, table};
pub use session::{Bounds, Visible, planning_session, session, session_in, session_within, training_session, warnings};
