//! Decoding to RGB, pixel for pixel like Pillow's `Image.open(f).convert("RGB")`: alpha is dropped,
//! not blended, because CLIP's reference loaders do so. EXIF orientation is applied one file up, in
//! [`decoding`](super::decoding).

use super::header::{Format, Header, probe};
use super::limits::Limits;
use super::rejection::{Reason, Rejection};
use super::rgb::Rgb;
use super::{bmp, gif, jpeg, png, pnm, tiff, webp};
use crate::panics::caught;

/// Decodes a picture whose header is within `limits`. It takes `width * height * 3` bytes plus what
/// the format's decoder needs; callers that decode many at once bound the sum.
///
/// # Errors
/// Returns a [`Rejection`] if the header is refused (see [`probe`]) or the picture is truncated,
/// corrupt or of an unsupported kind.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Rgb, Rejection> {
    as_stored(bytes, &probe(bytes, limits)?)
}

/// Decodes a picture whose header has been read.
///
/// # Errors
/// Returns a [`Rejection`] if the picture is truncated, corrupt or of an unsupported kind.
pub(super) fn as_stored(bytes: &[u8], header: &Header) -> Result<Rgb, Rejection> {
    let _span = tracing::debug_span!("decode", bytes = bytes.len()).entered();
    let pixels = or_rejected(|| match header.format {
        Format::Jpeg => jpeg::rgb(bytes),
        Format::Png => png::rgb(bytes),
        Format::WebP => webp::rgb(bytes),
        Format::Gif => gif::rgb(bytes),
        Format::Bmp => bmp::rgb(bytes),
        Format::Tiff => tiff::rgb(bytes),
        Format::Ppm => pnm::rgb(bytes),
    })?;
    let expected = header.width as usize * header.height as usize * 3;
    if pixels.len() != expected {
        let detail = format!("{} bytes of pixels where the header promises {expected}", pixels.len());
        return Err(Rejection::new(Reason::Corrupt, detail));
    }
    Ok(Rgb { width: header.width, height: header.height, pixels })
}

/// Runs a decoder so that a panic inside it rejects one picture instead of ending the run: files
/// are untrusted, and decoders have had such bugs. Nothing outlives the closure, so no half-changed
/// state can be seen afterwards.
pub(super) fn or_rejected<T>(decoder: impl FnOnce() -> Result<T, Rejection>) -> Result<T, Rejection> {
    caught(decoder).unwrap_or_else(|message| Err(Rejection::new(Reason::DecoderPanicked, message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_decoder_rejects_one_picture() {
        let result: Result<(), Rejection> = or_rejected(|| panic!("index out of bounds"));
        let rejection = result.unwrap_err();
        assert_eq!(rejection.reason, Reason::DecoderPanicked);
        assert_eq!(rejection.detail, "index out of bounds");
    }
}
