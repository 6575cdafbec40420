//! From an encoded file to RGB, pixel for pixel as Pillow's `Image.open(f).convert("RGB")`: alpha is dropped, not
//! blended, and a rotation that EXIF asks for is not applied, because CLIP's reference loaders do neither.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::header::{Format, probe};
use super::limits::Limits;
use super::rejection::{Reason, Rejection};
use super::rgb::Rgb;
use super::{jpeg, png, webp};

/// Decodes a picture whose header is within `limits`. It takes `width * height * 3` bytes and what the format's decoder needs beside
/// them; callers that decode many at once bound the sum.
///
/// # Errors
/// A [`Rejection`] where the header is refused (see [`probe`]) or the picture is truncated, corrupt or of a kind that
/// is not read.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Rgb, Rejection> {
    let header = probe(bytes, limits)?;
    let pixels = guarded(|| match header.format {
        Format::Jpeg => jpeg::rgb(bytes),
        Format::Png => png::rgb(bytes),
        Format::WebP => webp::rgb(bytes),
    })?;
    let expected = header.width as usize * header.height as usize * 3;
    if pixels.len() != expected {
        let detail = format!("{} bytes of pixels where the header promises {expected}", pixels.len());
        return Err(Rejection::new(Reason::Corrupt, detail));
    }
    Ok(Rgb { width: header.width, height: header.height, pixels })
}

/// Runs a decoder so that a panic inside it costs one picture and not the run: files come from anywhere, and decoders
/// have had such faults. Nothing outlives the closure, so no half-changed state can be seen afterwards.
pub(super) fn guarded<T>(decoder: impl FnOnce() -> Result<T, Rejection>) -> Result<T, Rejection> {
    catch_unwind(AssertUnwindSafe(decoder)).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .map(|m| (*m).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(Rejection::new(Reason::DecoderPanicked, message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_decoder_rejects_one_picture() {
        let result: Result<(), Rejection> = guarded(|| panic!("index out of bounds"));
        let rejection = result.unwrap_err();
        assert_eq!(rejection.reason, Reason::DecoderPanicked);
        assert_eq!(rejection.detail, "index out of bounds");
    }
}
