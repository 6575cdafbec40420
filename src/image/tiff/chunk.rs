//! The bytes of a strip or tile, unpacked a row at a time, so that what a file unpacks to is never
//! in memory as a whole.

use flate2::{Decompress, FlushDecompress, Status};
use weezl::decode::{Configuration, Decoder as Lzw};
use weezl::{BitOrder, LzwStatus};

use super::directory::{Directory, corrupt, unsupported};
use crate::image::rejection::{Reason, Rejection};

/// How strips and tiles are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Lzw,
    Deflate,
    PackBits,
    Jpeg,
}

impl Packing {
    /// Reads the tag `Compression`.
    pub(super) fn new(directory: &Directory) -> Result<Self, Rejection> {
        let name = match directory.number(259)?.unwrap_or(1) {
            1 => return Ok(Packing::Plain),
            5 => return Ok(Packing::Lzw),
            7 => return Ok(Packing::Jpeg),
            8 | 32_946 => return Ok(Packing::Deflate),
            32_773 => return Ok(Packing::PackBits),
            2 => "CCITT run lengths",
            3 => "CCITT group 3 (fax)",
            4 => "CCITT group 4 (fax)",
            6 => "JPEG as TIFF had it before 1995",
            32_809 => "ThunderScan",
            33_003 | 33_004 | 33_005 | 34_712 => "JPEG 2000",
            34_676 | 34_677 => "SGI's LogLuv",
            34_887 => "LERC",
            34_892 => "lossy JPEG of raw values",
            34_925 => "LZMA",
            34_933 => "PNG",
            34_934 => "JPEG XR",
            50_000 => "Zstandard",
            50_001 => "WebP",
            50_002 | 52_546 => "JPEG XL",
            other => return Err(unsupported(format!("of compression {other}"))),
        };
        Err(unsupported(format!("of compression {name}")))
    }
}

/// An unpacker, kept from one strip to the next, since making one takes longer than a small tile.
pub(super) enum Unpacker {
    Plain,
    Lzw(Lzw),
    Deflate(Decompress),
    PackBits(Run),
}

/// What a PackBits header has announced and is yet to come.
#[derive(Default)]
pub(super) struct Run {
    left: usize,
    /// The byte that is repeated; without one, bytes are copied.
    repeated: Option<u8>,
}

/// A strip or tile, and how far it has been read.
pub(super) struct Chunk<'a> {
    packed: &'a [u8],
    unpacker: &'a mut Unpacker,
}

impl Unpacker {
    /// Returns the unpacker for this packing; JPEG is decoded elsewhere.
    pub(super) fn new(packing: Packing) -> Self {
        match packing {
            Packing::Plain | Packing::Jpeg => Unpacker::Plain,
            Packing::Lzw => {
                let configuration = Configuration::with_tiff_size_switch(BitOrder::Msb, 8);
                Unpacker::Lzw(configuration.with_yield_on_full_buffer(true).build())
            }
            Packing::Deflate => Unpacker::Deflate(Decompress::new(true)),
            Packing::PackBits => Unpacker::PackBits(Run::default()),
        }
    }

    /// Begins a strip or tile.
    ///
    /// # Errors
    /// Refuses the LZW code of before TIFF 5.0.
    pub(super) fn begin<'a>(&'a mut self, packed: &'a [u8]) -> Result<Chunk<'a>, Rejection> {
        match self {
            Unpacker::Plain => {}
            // Today's code begins with a clear code, 256 in nine bits.
            Unpacker::Lzw(_) if matches!(packed, [0, second, ..] if second & 1 == 1) => {
                return Err(unsupported("of the LZW code that was used before 1992"));
            }
            Unpacker::Lzw(lzw) => lzw.reset(),
            Unpacker::Deflate(deflate) => deflate.reset(true),
            Unpacker::PackBits(run) => *run = Run::default(),
        }
        Ok(Chunk { packed, unpacker: self })
    }
}

impl Chunk<'_> {
    /// Fills a row with the next bytes.
    pub(super) fn read(&mut self, row: &mut [u8]) -> Result<(), Rejection> {
        let mut filled = 0;
        while filled < row.len() {
            let cut = || Rejection::new(Reason::Truncated, "TIFF: a strip or tile ends before its picture");
            let (taken, given) = self.step(&mut row[filled..])?.ok_or_else(cut)?;
            self.packed = &self.packed[taken..];
            filled += given;
        }
        Ok(())
    }

    /// Unpacks some bytes; returns how many were taken and how many given, or nothing at the end.
    fn step(&mut self, out: &mut [u8]) -> Result<Option<(usize, usize)>, Rejection> {
        let packed = self.packed;
        match self.unpacker {
            Unpacker::Plain => {
                let length = out.len().min(packed.len());
                out[..length].copy_from_slice(&packed[..length]);
                Ok((length > 0).then_some((length, length)))
            }
            Unpacker::Lzw(lzw) => {
                let mut result = lzw.decode_bytes(packed, out);
                if (result.consumed_in, result.consumed_out) == (0, 0) {
                    // It may have moved a code that it took before, and give of that one now.
                    result = lzw.decode_bytes(packed, out);
                }
                match result.status {
                    Err(error) => Err(corrupt(format!("LZW: {error}"))),
                    // It says so as well where it gives of what it took before.
                    Ok(LzwStatus::NoProgress | LzwStatus::Done) if result.consumed_out == 0 => Ok(None),
                    // It may take a code, and give nothing of it yet.
                    Ok(_) => Ok(Some((result.consumed_in, result.consumed_out))),
                }
            }
            Unpacker::Deflate(deflate) => {
                let before = (deflate.total_in(), deflate.total_out());
                let status = deflate.decompress(packed, out, FlushDecompress::None);
                let moved = ((deflate.total_in() - before.0) as usize, (deflate.total_out() - before.1) as usize);
                match status {
                    Err(error) => Err(corrupt(format!("deflate: {error}"))),
                    Ok(Status::StreamEnd) if moved.1 == 0 => Ok(None),
                    Ok(_) => Ok((moved != (0, 0)).then_some(moved)),
                }
            }
            Unpacker::PackBits(run) => {
                if run.left == 0 {
                    return Ok(Some(match *packed {
                        [] | [129..=255] => return Ok(None),
                        [128, ..] => (1, 0),
                        [count @ 129..=255, value, ..] => {
                            *run = Run { left: 257 - usize::from(count), repeated: Some(value) };
                            (2, 0)
                        }
                        [count, ..] => {
                            *run = Run { left: usize::from(count) + 1, repeated: None };
                            (1, 0)
                        }
                    }));
                }
                let length = run.left.min(out.len());
                let (taken, given) = match run.repeated {
                    Some(value) => {
                        out[..length].fill(value);
                        (0, length)
                    }
                    None => {
                        let length = length.min(packed.len());
                        out[..length].copy_from_slice(&packed[..length]);
                        (length, length)
                    }
                };
                run.left -= given;
                Ok((given > 0).then_some((taken, given)))
            }
        }
    }
}
