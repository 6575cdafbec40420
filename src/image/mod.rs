//! Decoding, resizing, crops and augmentation of pictures.
//!
//! Everything here works on plain bytes: the encoded file in, 8-bit RGB in row order (height,
//! width, channel) out. The layer above turns pixels into tensors.

pub mod augment;
mod bmp;
mod buffer;
mod cmyk;
pub mod crops;
pub mod decode;
pub mod decoding;
mod exif;
mod foreign;
mod gif;
pub mod header;
pub mod id;
mod jpeg;
pub mod limits;
mod png;
mod pnm;
pub mod preprocess;
pub(crate) mod preprocess_config;
pub mod rejection;
pub mod resample;
pub mod rgb;
pub mod seed;
mod tiff;
mod webp;

pub use augment::{Strong, StrongView, weak_view};
pub use crops::{CropBox, Crops};
pub use decode::decode;
pub use decoding::{Decoding, ExifOrientation};
pub use header::{FORMATS, Format, Header, probe};
pub use id::ImageId;
pub use limits::Limits;
pub use preprocess::Preprocess;
pub use rejection::{Reason, Rejection};
pub use resample::Filter;
pub use rgb::Rgb;
