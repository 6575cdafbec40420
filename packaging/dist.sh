#!/bin/sh
# Makes the archive in dist/: the program with every library that it needs, down to the C library, and the embedded pipeline. It runs in an
# empty root. `make dist` calls it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
program=$("$here/program.sh")
libtorch=$(realpath "${LIBTORCH:-.libtorch}")
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
name=microclip-pipe-$version-linux-x86_64
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/$name
mkdir -p "$root/lib" "$root/licenses" "$root/pipelines" dist


"${RUSTC:-rustc}" --edition 2024 -O -C panic=abort -C strip=symbols -C target-feature=+crt-static -o "$root/microclip-pipe" packaging/launcher.rs
cp "$program" "$root/lib/program"
# `NAME => PATH (ADDRESS)`, and the loader as `PATH (ADDRESS)`.
LD_LIBRARY_PATH=$libtorch/lib ldd "$program" | sed -n 's/^.* => \(\/.*\) (0x.*$/\1/p; s/^\t\(\/.*\) (0x.*$/\1/p' | while read -r library; do
    cp -L "$library" "$root/lib"
done
ln -s ld-linux-x86-64.so.2 "$root/lib/microclip-pipe"

cp pipelines/flowers.toml "$root/pipelines"
cp -R data "$root"
# `doctor` looks for it above libtorch's folder.
cp "$libtorch/build-version" "$root"
python3 packaging/licences.py >"$root/licenses/microclip-pipe.txt"
cp -R "$libtorch"/licenses/. "$root/licenses"
for package in libc6 libgcc-s1 libstdc++6; do
    cp "/usr/share/doc/$package/copyright" "$root/licenses/$package.txt"
done
# gzip, which every tar reads; xz would save a fifth and take minutes.
tar --create --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 "$name" | gzip -6n >"$work/archive"
mv "$work/archive" "dist/$name.tar.gz"
ls -l "dist/$name.tar.gz"
