//! Schemas, the SQL session and its functions, Arrow and tensors.
