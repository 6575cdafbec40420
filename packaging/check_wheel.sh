#!/bin/sh
# Installs the wheel of dist/ with pip into an empty virtual environment, without a compiler or Rust, runs the embedded pipeline there, and
# again with the C and C++ libraries of Debian 11: all results must be those of the program that `make build` built. `make wheel-check`
# calls it; WHEEL_PIP may have more words for pip, such as --extra-index-url.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
built=$(realpath "${CARGO_TARGET_DIR:-target}/release/microclip-pipe")
debian11=$("$here/debian11.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
# Nothing but the environment's own programs: whatever is not in a wheel cannot be installed, or called.
alone() { env -i HOME="$work" PATH="$work/venv/bin" "$@"; }
pip_cache=$(python3 -m pip cache dir)
alone pip --cache-dir "$pip_cache" install --quiet --disable-pip-version-check --only-binary=:all: ${WHEEL_PIP:-} dist/*.whl
flowers=$work/venv/share/microclip-pipe/pipelines/flowers.toml
packages=$(alone python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

. packaging/results.sh
results "$work/built" "$built" run "$flowers" --store "$work/built" >"$work/expected"
cat "$work/expected"
results "$work/wheel" alone microclip-pipe run "$flowers" --store "$work/wheel" >"$work/found"
diff "$work/expected" "$work/found"
echo 'the wheel computes the same'
results "$work/debian11" alone "$debian11/lib64/ld-linux-x86-64.so.2" \
    --library-path "$debian11/lib/x86_64-linux-gnu:$debian11/usr/lib/x86_64-linux-gnu" "$packages/microclip_pipe/microclip-pipe" \
    run "$flowers" --store "$work/debian11" >"$work/found"
diff "$work/expected" "$work/found"
echo "so it does with Debian 11's libraries"

# The entry point becomes the program: another's exit code and signals would be its own.
code=0
alone microclip-pipe run nowhere.toml 2>"$work/message" || code=$?
"$built" run nowhere.toml 2>"$work/expected" || [ $? = $code ]
diff "$work/expected" "$work/message"
env -i PATH="$work/venv/bin" microclip-pipe run "$flowers" --store "$work/interrupted" --quiet >"$work/found" 2>&1 &
until [ "$(readlink "/proc/$!/exe")" = "$(realpath "$packages/microclip_pipe/microclip-pipe")" ]; do sleep 0.1; done
until [ -e "$work/interrupted/embeddings" ]; do sleep 0.1; done
kill -INT $!
code=0
wait $! || code=$?
[ $code = 130 ]
echo 'its exit codes and signals are those of the program'

alone pip --disable-pip-version-check uninstall --quiet --yes torch
code=0
alone microclip-pipe --version 2>"$work/message" || code=$?
[ $code = 1 ]
grep 'error: torch is not installed' "$work/message"
