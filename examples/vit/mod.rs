//! What the two examples that train a ViT have in common.

pub mod light;
pub mod start;
