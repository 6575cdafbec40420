//! How EXIF data says that a picture is to be turned.

use ::image::metadata::Orientation;

use super::tiff;

/// What JPEG puts before the data, and some writers of PNG and WebP do too.
pub(super) const PREFIX: &[u8] = b"Exif\0\0";

/// Returns the orientation that EXIF data asks for. Data that cannot be read asks for nothing.
pub(super) fn orientation(data: &[u8]) -> Option<Orientation> {
    tiff::orientation(data.strip_prefix(PREFIX).unwrap_or(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orientation_is_found_in_either_order_and_type_and_behind_the_prefix() {
        let short = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let long = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x06\0\0\0\0";
        let turned = Some(Orientation::Rotate90);
        assert_eq!([orientation(short), orientation(long)], [turned, turned]);
        assert_eq!(orientation(&[PREFIX, short].concat()), turned);
        assert_eq!([orientation(b""), orientation(PREFIX), orientation(&short[..20])], [None, None, None]);
    }
}
