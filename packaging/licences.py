#!/usr/bin/env python3
"""Prints the licences of all crates that the program contains, each text once. Standard library only; asks cargo."""

import json
import os
import re
import subprocess
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = re.compile(r"(licen[cs]e|copying|notice|unlicense|copyright)", re.I)


def contained(metadata):
    """The packages that the program is linked from: not those that only build or test it."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, waiting = set(), [metadata["resolve"]["root"]]
    while waiting:
        package = waiting.pop()
        if package not in found:
            found.add(package)
            linked = (dep for dep in nodes[package]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"]))
            waiting += [dep["pkg"] for dep in linked]
    return sorted((p for p in metadata["packages"] if p["id"] in found), key=lambda p: (p["name"], p["version"]))


def files(folder, deep):
    """The texts of a crate. Those of C code that it brings along lie deeper; in this project's own folder, that would be other things."""
    found = folder.rglob("*") if deep else folder.iterdir()
    return sorted(file for file in found if TEXT.match(file.name) and file.is_file() and file.suffix not in {".rs", ".py", ".c", ".h"})


def main():
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--locked", "--format-version", "1"]
    command += ["--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    crates = contained(metadata)
    texts = defaultdict(list)
    print("microclip-pipe is licensed under Apache-2.0. It contains these crates, under the licences named:\n")
    for crate in crates:
        name = f"{crate['name']} {crate['version']}"
        print(f"{name}: {crate['license']}  {crate['repository'] or ''}".rstrip())
        for file in files(Path(crate["manifest_path"]).parent, deep=crate["source"] is not None):
            texts[file.read_text(errors="replace").strip()].append(name)
    for text, names in texts.items():
        print(f"\n{'-' * 80}\n{', '.join(names)}\n\n{text}")


if __name__ == "__main__":
    main()
