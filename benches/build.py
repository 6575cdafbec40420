"""Builds what is measured. Standard library only."""

import json
import os
from pathlib import Path

from commands import ROOT, run

CARGO = os.environ.get("CARGO", "cargo")


def binary():
    """Our binary."""
    run([CARGO, "build", "--release", *extra()], stderr=None)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "microclip-pipe"


def inside():
    """The executable that measures inside a process."""
    words = ["--bench", "speed", "--no-run", "--message-format=json"]
    lines = run([CARGO, "bench", *extra(), *words], stderr=None).splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return Path(next(m["executable"] for m in found if m.get("executable") and m["target"]["name"] == "speed"))


def extra():
    """More words for cargo, such as --config, from the environment."""
    return os.environ.get("BENCH_CARGO", "").split()
