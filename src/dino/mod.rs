//! A vision model without text: DINOv2 (with registers or without) and DINOv3's ViT, as
//! transformers stores them. Blocks, weights and preprocessing are those of [`crate::clip`].

mod config;
mod model;
mod rotary;
mod stored;
mod tower;

pub use config::{Config, Family};
pub use model::Dino;
pub use rotary::Rotary;
pub use tower::{Output, Positions, Tower};
