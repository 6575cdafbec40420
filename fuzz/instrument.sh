#!/bin/sh
# A wrapper around rustc (RUSTC_WRAPPER) that gives coverage counters to this project and to the parsers it leans on, and to
# nothing else: with counters in all of DataFusion the first build takes an hour, and targets run at a fraction of the speed.
# The flags are those of `cargo fuzz`; none of them needs a nightly toolchain.
set -eu
rustc=$1
shift
case "${CARGO_PKG_NAME:-} ${CARGO_PKG_VERSION:-} ${CARGO_CRATE_NAME:-}" in
*" build_script_build") ;;
"microclip-pipe "* | "microclip-pipe-fuzz "* | "zune-jpeg "* | "png "* | "fdeflate "* | "image-webp "* | "gif "* | "weezl "* | \
    "safetensors 0.7."* | "toml "* | "toml_parser "* | "tokenizers "*)
    set -- "$@" --cfg fuzzing -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
        -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
        -C llvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$rustc" "$@"
