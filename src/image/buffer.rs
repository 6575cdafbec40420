//! The pixels that the decoders of the `image` crate give.

use ::image::{ImageDecoder, ImageError};

use super::rejection::{Reason, Rejection};

/// Decodes all pixels, as the decoder stores them.
///
/// # Errors
/// Returns what `rejection` makes of the decoder's error.
pub(super) fn decoded(
    decoder: impl ImageDecoder,
    rejection: impl FnOnce(&ImageError) -> Rejection,
) -> Result<Vec<u8>, Rejection> {
    let length = usize::try_from(decoder.total_bytes())
        .map_err(|_| Rejection::new(Reason::TooManyPixels, "the picture does not fit into memory"))?;
    let mut pixels = vec![0; length];
    decoder.read_image(&mut pixels).map_err(|error| rejection(&error))?;
    Ok(pixels)
}

/// Returns RGB of 8-bit RGBA: alpha is dropped, not blended.
pub(super) fn without_alpha(pixels: &[u8]) -> Vec<u8> {
    let rgb: Vec<[u8; 3]> = pixels.as_chunks::<4>().0.iter().map(|&[r, g, b, _]| [r, g, b]).collect();
    rgb.into_flattened()
}
