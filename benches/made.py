#!/usr/bin/env python3
"""Makes a pipeline of any number of pictures whose features are in its store already, without a forward pass.

    made.py FOLDER COUNT [--classes 1000] [--binary microclip-pipe] [--inside speed]

Afterwards `microclip-pipe run FOLDER/made.toml` begins with the prior. A million pictures take two minutes and three gigabytes. What is
made is the same each time: 8 x 8 pixels a picture, one of 26 for testing, a CLIP of width 64 with 4 patches and random weights, two sentences a
class, and features scattered around their classes (benches/made/features.rs). Standard library only, but for the model.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

import build
import environment
from commands import run

HERE = Path(__file__).resolve().parent
# Pictures that really go through the tower: they make the folders of the spaces.
FEW = 8


def made(folder, count, classes, binary, inside, ingest=run):
    """Makes the pipeline and its store in `folder`, which is emptied; returns the pipeline's file. `ingest` runs the command that ingests it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run([environment.python(), HERE / "inputs.py", "model", "narrow", folder / "model"])
    few, file = (pipeline(folder, name, number, classes, inside) for name, number in [("few", FEW), ("made", count)])
    run([binary, "embed", few])
    ingest([binary, "ingest", file])
    store = folder / "store"
    [dataset] = [name for name in os.listdir(store / "images") if name.startswith("made-")]
    run([inside, "made-features", store, dataset])
    return file


def pipeline(folder, name, count, classes, inside):
    """A pipeline's file, with its pictures and sentences."""
    pictures = folder / f"{name}.parquet"
    names = json.loads(run([inside, "made-pictures", pictures, count, classes]))["classes"]
    sentences = {name: [f"{name}, seen from the side.", f"a small {name} in the sun."] for name in names}
    (folder / "sentences.json").write_text(json.dumps(sentences))
    file = folder / f"{name}.toml"
    lines = [f'name = "{name}"', 'store = "store"', "[dataset]", 'kind = "hf-parquet"', f'path = "{pictures.name}"']
    lines += ["[model]", 'path = "model"', "[text]", 'descriptions = "sentences.json"', "[views]", "count = 2"]
    file.write_text("\n".join(lines) + "\n")
    return file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--binary", type=Path, help="this microclip-pipe; otherwise one is built")
    parser.add_argument("--inside", type=Path, help="this executable of benches/speed.rs; otherwise one is built")
    options = parser.parse_args()
    binary, inside = options.binary or build.binary(), options.inside or build.inside()
    print(made(options.folder.resolve(), options.count, options.classes, binary.resolve(), inside.resolve()))


if __name__ == "__main__":
    main()
