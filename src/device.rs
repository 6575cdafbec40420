//! Where tensors live, and in which precision.
