//! PPM, as old data sets have it: `P6`, the sides, the largest value, and then red, green and blue
//! of each pixel, a byte each.

use super::foreign::CONVERT;
use super::rejection::{Reason, Rejection};

/// Returns whether a file is a PPM that may be decoded here, by its first bytes.
pub(super) fn is_ppm(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', b'6', b' ' | b'\n' | b'\r' | b'\t' | b'#', ..])
}

/// What stands before the pixels.
struct Before {
    width: u32,
    height: u32,
    /// The value of full brightness.
    most: u32,
    /// Where the pixels begin.
    end: usize,
}

/// Reads the width and the height.
pub(super) fn header(bytes: &[u8]) -> Result<(u32, u32), Rejection> {
    before(bytes).map(|before| (before.width, before.height))
}

/// Decodes to RGB. A largest value other than 255 is stretched to it, as Pillow does; what follows
/// the pixels is not looked at.
pub(super) fn rgb(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let Before { width, height, most, end } = before(bytes)?;
    let length = width as usize * height as usize * 3;
    let pixels = bytes.get(end..).and_then(|rest| rest.get(..length));
    let pixels = pixels.ok_or_else(|| {
        let there = bytes.len().saturating_sub(end);
        Rejection::new(Reason::Truncated, format!("PPM: {there} bytes of pixels where the header promises {length}"))
    })?;
    Ok(match most {
        255 => pixels.to_vec(),
        most => {
            // Values above the largest are as bright as that.
            let stretched = |value: u8| (f64::from(value) / f64::from(most) * 255.0).round_ties_even() as u8;
            pixels.iter().map(|value| stretched(*value)).collect()
        }
    })
}

fn before(bytes: &[u8]) -> Result<Before, Rejection> {
    let mut at = 2;
    let [width, height, most] = [number(bytes, &mut at)?, number(bytes, &mut at)?, number(bytes, &mut at)?];
    match most {
        1..=255 => Ok(Before { width, height, most, end: at }),
        256..=65535 => Err(Rejection::new(Reason::Unsupported, format!("PPM of 16 bits a value: {CONVERT}"))),
        _ => Err(Rejection::new(Reason::Corrupt, format!("PPM: the largest value is {most}"))),
    }
}

/// Reads a number, and the one blank behind it; blanks and comments may stand before it.
fn number(bytes: &[u8], at: &mut usize) -> Result<u32, Rejection> {
    let cut = || Rejection::new(Reason::Truncated, "PPM: the header ends early");
    let mut next = || {
        let byte = bytes.get(*at).copied();
        *at += 1;
        byte.ok_or_else(cut)
    };
    let mut byte = next()?;
    loop {
        match byte {
            b'#' => while !matches!(next()?, b'\n' | b'\r') {},
            blank if blank.is_ascii_whitespace() => {}
            _ => break,
        }
        byte = next()?;
    }
    let mut number = 0_u32;
    loop {
        match byte {
            b'0'..=b'9' => {
                number = number.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
            }
            blank if blank.is_ascii_whitespace() => return Ok(number),
            other => {
                let what = format!("PPM: the byte {other:02x} in a number of the header");
                return Err(Rejection::new(Reason::Corrupt, what));
            }
        }
        byte = next()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ppm_is_its_pixels_and_headers_may_have_comments() {
        let pixels: Vec<u8> = (0..18).collect();
        for header in ["P6\n3 2\n255\n", "P6 # made by hand\n3\n# sides\n2 255 ", "P6\r3\t2\r255\n"] {
            let bytes = [header.as_bytes(), &pixels, b"and more"].concat();
            assert!(is_ppm(&bytes));
            assert_eq!(super::header(&bytes).unwrap(), (3, 2));
            assert_eq!(rgb(&bytes).unwrap(), pixels, "{header:?}");
        }
        // Pillow's: round(value / largest * 255).
        assert_eq!(rgb(b"P6 1 1 15 \x00\x07\x0f").unwrap(), [0, 119, 255]);
    }

    #[test]
    fn a_ppm_that_is_none_is_rejected() {
        let reason = |bytes: &[u8]| rgb(bytes).unwrap_err().reason;
        assert_eq!(reason(b"P6 3 2 255\n0123"), Reason::Truncated);
        assert_eq!(reason(b"P6 3 2"), Reason::Truncated);
        assert_eq!(reason(b"P6 # without an end"), Reason::Truncated);
        assert_eq!(reason(b"P6 3 -2 255\n"), Reason::Corrupt);
        assert_eq!(reason(b"P6 3 2 0\n"), Reason::Corrupt);
        assert_eq!(reason(b"P6 3 2 65535\n"), Reason::Unsupported);
        assert_eq!(header(b"P6 99999999999 1 255\n").unwrap().0, u32::MAX, "which is beyond any limit");
    }
}
