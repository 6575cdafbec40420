//! Fuzzing: every parser of what users bring, on bytes that nobody would bring. `README.md` says
//! how.

pub mod target;

/// Called once, before the first input.
///
/// libFuzzer's binding ends the process at a panic, before anybody can catch it. But some panics
/// are meant to be caught: a decoder that panics costs one picture, a reader of Parquet one file.
/// So only what leaves a target ends it.
pub fn init() {
    std::panic::set_hook(Box::new(|info| {
        if !microclip_pipe::panics::is_expected() {
            eprintln!("{info}");
        }
    }));
}
