//! What is on disk, and when it counts as there.
