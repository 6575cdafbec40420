#!/bin/sh
# Prints the folder of Debian 11's C and C++ libraries, and fetches them first where they are missing (8 MB, by apt, which checks
# signatures). They are linked against in place of this machine's, which has glibc 2.31; what
# the program would ask of it beyond 2.28, debian11.cc supplies, so that it runs where glibc is 2.28 or newer.
set -eu
cache=${XDG_CACHE_HOME:-}
case $cache in /*) ;; *) cache=$HOME/.cache ;; esac
home=$cache/microclip-pipe/debian11
if [ -f "$home/whole" ]; then
    echo "$home"
    exit
fi
# Moves to archive.debian.org some day.
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
keys=/usr/share/keyrings/debian-archive-keyring.gpg
for needed in apt-get dpkg-deb; do
    command -v $needed >/dev/null || { echo "error: $needed is missing: build the package on Debian or Ubuntu" >&2; exit 1; }
done
[ -f $keys ] || { echo "error: $keys is missing: sudo apt install debian-archive-keyring" >&2; exit 1; }
echo "fetching Debian 11's C and C++ libraries from $mirror into $home (once)" >&2
mkdir -p "$cache/microclip-pipe"
work=$(mktemp -d "$cache/microclip-pipe/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p apt/lists/partial apt/cache/archives/partial root
: >apt/status
echo "deb [signed-by=$keys] $mirror bullseye main" >apt/sources
cat >apt/settings <<END
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "";
Acquire::Check-Valid-Until "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Dir::State "$work/apt";
Dir::State::status "$work/apt/status";
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
Dir::Etc::sourcelist "$work/apt/sources";
Dir::Etc::sourceparts "/dev/null";
END
export APT_CONFIG="$work/apt/settings"
apt-get -qq -o Acquire::Languages=none update >&2
apt-get -qq download libc6 libc6-dev libstdc++6 libgcc-s1 linux-libc-dev >&2
for package in *.deb; do dpkg-deb --extract "$package" root; done
# Absolute links lead to this machine's libraries.
find root -type l -lname '/*' | while read -r link; do
    ln -sfn "$(realpath -ms --relative-to="$(dirname "$link")" "root$(readlink "$link")")" "$link"
done
# The names that a linker asks for are in packages of compilers.
ln -s libstdc++.so.6 root/usr/lib/x86_64-linux-gnu/libstdc++.so
ln -s ../../../lib/x86_64-linux-gnu/libgcc_s.so.1 root/usr/lib/x86_64-linux-gnu/libgcc_s.so
: >root/whole
rm -rf "$home"
mv root "$home"
echo "$home"
