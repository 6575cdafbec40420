#!/bin/sh
# Makes the wheel in dist/: the program, its licences and the embedded pipeline. `make wheel` calls it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
python=$(python3 benches/environment.py packagers)
program=$("$here/program.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R packaging/wheel/. Cargo.toml "$work"
cp "$program" "$work/microclip_pipe"
python3 packaging/licences.py >"$work/LICENSES.txt"
mkdir -p "$work/share/pipelines" dist
cp pipelines/flowers.toml "$work/share/pipelines"
cp -R data "$work/share"
rm -f dist/*.whl
(cd "$work" && "$python" -m hatchling build --target wheel --directory made >&2)
# Refuses what is not to be expected on every system with glibc 2.28, but for torch's libraries: the wheel that this one depends on has them.
PATH=$(dirname "$python"):$PATH "$python" -m auditwheel repair --plat manylinux_2_28_x86_64 --exclude 'libtorch*.so' --exclude libc10.so \
    --wheel-dir dist "$work"/made/*.whl >&2
ls -l dist/*.whl
