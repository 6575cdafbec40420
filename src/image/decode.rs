//! From an encoded file to RGB, pixel for pixel as Pillow's `Image.open(f).convert("RGB")`: alpha is dropped, not
//! blended, and a rotation that EXIF asks for is not applied, because CLIP's reference loaders do neither.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use super::header::{Format, probe};
use super::limits::Limits;
use super::rejection::{Reason, Rejection};
use super::rgb::Rgb;
use super::{jpeg, png, webp};

/// Pictures of more pixels are decoded one at a time: many at once, as on a machine of many cores, could take more memory than
/// there is. Photographs are smaller, and are not held up.
const LARGE: u64 = 16_000_000;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Decodes a picture whose header is within `limits`.
///
/// # Errors
/// A [`Rejection`] where the header is refused (see [`probe`]) or the picture is truncated, corrupt or of a kind that
/// is not read.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Rgb, Rejection> {
    let header = probe(bytes, limits)?;
    let large = u64::from(header.width) * u64::from(header.height) > LARGE;
    let _alone = large.then(|| ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner));
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
