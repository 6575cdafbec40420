"""Runs the program `microclip-pipe`, which lies beside this file and computes with the libtorch of the installed torch."""

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Each minor version of libtorch has another binary interface.
TORCH = "2.11."


def torch():
    """The folder of the installed torch, whose libtorch must be the one that the program was linked against. torch is not imported: that takes seconds."""
    found = find_spec("torch")
    if found is None or not found.submodule_search_locations:
        return None, "is not installed"
    folder = Path(found.submodule_search_locations[0])
    version = re.search(r"__version__ = '([^']*)'", (folder / "version.py").read_text())
    if version and version[1].startswith(TORCH):
        return folder, None
    return None, f"in {folder} is {version[1] if version else 'of an unknown version'}"


def main():
    """Becomes the program: its signals, streams and exit code are those of this process."""
    folder, fault = torch()
    if fault:
        sys.exit(f"error: torch {fault}, and microclip-pipe needs {TORCH}*\nhint: {sys.executable} -m pip install 'torch=={TORCH}*'")
    # The program looks in torch/lib beside its own folder. torch may be elsewhere, as in a virtual environment that sees the
    # system's packages.
    if folder.resolve() != HERE.parent / "torch":
        others = os.environ.get("LD_LIBRARY_PATH")
        os.environ["LD_LIBRARY_PATH"] = f"{folder / 'lib'}:{others}" if others else str(folder / "lib")
    os.execv(HERE / "microclip-pipe", ["microclip-pipe", *sys.argv[1:]])
