//! Progress on screen: bars on a terminal, plain lines elsewhere, JSON lines for programs; always
//! on stderr.

mod bar;
mod json_lines;
mod meter;

pub use bar::{Manner, PlainProgress, TerminalProgress, choose};
