//! Decoding, resizing, views and augmentation of pictures.

pub mod id;
