#!/bin/sh
# Links the program for glibc 2.28 and newer, and prints its path: what `cargo build --release` compiled is used as it is, and only the
# link is made again, with Debian 11's libraries. PACKAGE_CARGO may have more words for cargo, such as --config.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
"$here/debian11.sh" >/dev/null
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
mkdir -p "$target/package"
# Cargo does not know which files the linker reads: their checksum makes it link again when they change.
linker=$(cat "$here"/debian11* | cksum | tr ' ' -)
"${CARGO:-cargo}" rustc ${PACKAGE_CARGO:-} --locked --release --bin microclip-pipe -- \
    -C linker="$here/debian11-cc" --cfg "linker=\"$linker\"" >&2
cp "$target/release/microclip-pipe" "$target/package/microclip-pipe"
# So that this name is the machine's own again, which `make build` would otherwise link anew.
"${CARGO:-cargo}" build ${PACKAGE_CARGO:-} --locked --release --bin microclip-pipe --quiet >&2
echo "$target/package/microclip-pipe"
