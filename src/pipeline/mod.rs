//! The pipeline file, its plan, and running it.
