#!/bin/sh
# Unpacks the archive of dist/ into an empty root and runs the embedded pipeline there: without a C library, a shell, /dev, /tmp or a network.
# The results must be those of the program that `make build` built. `make dist-check` calls it.
set -eu
cd "$(dirname "$0")/.."
built=$(realpath "${CARGO_TARGET_DIR:-target}/release/microclip-pipe")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/root"
tar --extract --directory "$work/root" --strip-components 1 --file dist/microclip-pipe-*.tar.gz

. packaging/results.sh
results "$work/store" "$built" run pipelines/flowers.toml --store "$work/store" >"$work/expected"
cat "$work/expected"
mkdir "$work/root/proc"
results "$work/root/store" env -i unshare --map-root-user --net --pid --fork --mount --root "$work/root" --mount-proc=/proc --wd / \
    /microclip-pipe run /pipelines/flowers.toml --store /store >"$work/found"
diff "$work/expected" "$work/found"
echo 'the archive computes the same in an empty root'
