#!/usr/bin/env python3
"""Checks that what the build needs is there: cargo, new enough, a C++ compiler and a linker. Standard library only."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def die(line):
    sys.exit(f"error: {line}")


def cargo():
    needed = re.search(r'^rust-version = "(\d+)\.(\d+)', (ROOT / "Cargo.toml").read_text(), re.M)
    install = "install Rust from https://rustup.rs and run the same command again"
    program = os.environ.get("CARGO") or "cargo"
    try:
        shown = subprocess.run([program, "--version"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        die(f"cargo is missing: {install}")
    found = re.search(r"(\d+)\.(\d+)", shown)
    if not found or not needed:
        return
    if tuple(map(int, found.groups())) < tuple(map(int, needed.groups())):
        die(f"cargo {found[0]} is too old, {needed[1]}.{needed[2]} or newer is needed: run `rustup update stable`")


def compiler():
    for variable, default in (("CXX", "c++"), ("CC", "cc")):
        program = (os.environ.get(variable) or default).split()[0]
        if not shutil.which(program):
            unset = f" (or correct {variable}={program})" if os.environ.get(variable) else ""
            die(f"the compiler {program} is missing: install it, on Debian `sudo apt install g++`{unset}")


if __name__ == "__main__":
    cargo()
    compiler()
