//! GIF through the `gif` crate: the first frame as Pillow shows it, whatever follows. The picture
//! is as large as the screen, or as the frame where that reaches beyond it; around a smaller frame
//! lies the transparent colour if there is one, else the palette's first. Transparency itself is
//! dropped.

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, MemoryLimit};

use super::foreign::CONVERT;
use super::rejection::{Reason, Rejection};

/// Where the first frame lies, and what its numbers mean.
struct First<'a> {
    decoder: Decoder<&'a [u8]>,
    /// Width and height of the picture.
    size: (usize, usize),
    /// Left, top, width and height of the frame.
    frame: [usize; 4],
    transparent: Option<u8>,
    palette: Vec<u8>,
}

impl<'a> First<'a> {
    /// Reads up to the first frame's data.
    fn new(bytes: &'a [u8]) -> Result<Self, Rejection> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        // The buffer is ours, and checked against the limits before.
        options.set_memory_limit(MemoryLimit::Unlimited);
        options.allow_unknown_blocks(true);
        let mut decoder = options.read_info(bytes).map_err(|e| rejection(&e))?;
        let screen = [decoder.width(), decoder.height()].map(usize::from);
        let global = decoder.global_palette().map(<[u8]>::to_vec);
        let Some(frame) = decoder.next_frame_info().map_err(|e| rejection(&e))? else {
            return Err(Rejection::new(Reason::Corrupt, "GIF: it has no picture"));
        };
        let place = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
        if place[2] == 0 || place[3] == 0 {
            let detail = format!("GIF: its first frame has {} x {} pixels", place[2], place[3]);
            return Err(Rejection::new(Reason::Empty, detail));
        }
        let (transparent, local) = (frame.transparent, frame.palette.clone());
        let is = |palette: &Option<Vec<u8>>, ramp: bool| palette.as_ref().is_some_and(|p| is_ramp(p) == ramp);
        if is(&local, true) && is(&global, false) {
            // Pillow shows such a frame in the colours of the screen.
            let detail = format!(
                "GIF whose first frame has a grey palette of its own and whose screen has another, which Pillow mixes \
                 up: {CONVERT}"
            );
            return Err(Rejection::new(Reason::Unsupported, detail));
        }
        let size = (screen[0].max(place[0] + place[2]), screen[1].max(place[1] + place[3]));
        // A frame without any palette was refused.
        Ok(First { decoder, size, frame: place, transparent, palette: local.or(global).unwrap_or_default() })
    }

    /// Returns the colour of each number. What the palette lacks is black as Pillow has it, but
    /// grey where the rest is.
    fn colours(&self) -> [[u8; 3]; 256] {
        let grey = is_ramp(&self.palette);
        let mut colours = std::array::from_fn(|number| [if grey { number as u8 } else { 0 }; 3]);
        for (colour, stored) in colours.iter_mut().zip(self.palette.as_chunks::<3>().0) {
            *colour = *stored;
        }
        colours
    }
}

/// Returns whether each number means the grey of its own value.
fn is_ramp(palette: &[u8]) -> bool {
    palette.as_chunks::<3>().0.iter().zip(0..=255).all(|(colour, number)| *colour == [number; 3])
}

/// Reads the width and the height.
pub(super) fn header(bytes: &[u8]) -> Result<(u32, u32), Rejection> {
    // Sides are below 2^17.
    First::new(bytes).map(|first| (first.size.0 as u32, first.size.1 as u32))
}

/// Decodes the first frame to RGB.
pub(super) fn rgb(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut first = First::new(bytes)?;
    let colours = first.colours();
    let (size, [left, top, width, height]) = (first.size, first.frame);
    let mut numbers = vec![0; width * height];
    first.decoder.read_into_buffer(&mut numbers).map_err(|e| rejection(&e))?;
    let around = colours[usize::from(first.transparent.unwrap_or(0))];
    let mut pixels = around.repeat(size.0 * size.1);
    for (y, row) in numbers.chunks_exact(width).enumerate() {
        let start = ((top + y) * size.0 + left) * 3;
        let place = pixels[start..start + width * 3].as_chunks_mut::<3>().0;
        place.iter_mut().zip(row).for_each(|(pixel, &number)| *pixel = colours[usize::from(number)]);
    }
    Ok(pixels)
}

fn rejection(error: &DecodingError) -> Rejection {
    let detail = error.to_string();
    let reason = match error {
        // Pillow takes the numbers for greys.
        DecodingError::Format(_) if detail.contains("no color table") => {
            return Rejection::new(Reason::Unsupported, format!("GIF: {detail}: {CONVERT}"));
        }
        DecodingError::Format(_) if detail.contains("truncated") => Reason::Truncated,
        DecodingError::UnexpectedEof => Reason::Truncated,
        DecodingError::Io(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Reason::Truncated,
        _ => Reason::Corrupt,
    };
    Rejection::new(reason, format!("GIF: {detail}"))
}
