"""An exported folder, read by transformers: its features must be those that this program computes from the same folder.

    export.py BINARY PIPELINE [--store DIR]

exports the pipeline's newest run, lets this program embed pictures and sentences with the exported model in a pipeline of their own, and
lets transformers do the same. The pictures are the pipeline's, cut to the model's input size and saved without loss, so that
what is compared is the model and not two JPEG decoders. Prints the largest difference of unit features and fails above 1e-4.
`make export-check` runs it.
"""

import io
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from PIL import Image, ImageOps
from transformers import CLIPModel, CLIPProcessor

PICTURES = 64
LARGEST = 1e-4
SPEC = """\
name = "exported"
store = "store"
[dataset]
kind = "folder"
path = "pictures"
classes = "classes.txt"
[model]
path = "exported"
precision = "fp32"
[text]
descriptions = "sentences.json"
[views]
count = 1
[adapt]
tune = "none"
"""


def rows(binary, pipeline, statement, *options):
    command = [binary, "sql", pipeline, statement, "--format", "json", "--quiet", *options]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def prepare(folder, binary, pipeline, store):
    """A pipeline in the folder: pictures without loss, the exported class names, a sentence about each."""
    side = json.loads((folder / "exported" / "config.json").read_text())["vision_config"]["image_size"]
    (folder / "pictures").mkdir()
    statement = f"SELECT path, bytes FROM images ORDER BY image_id LIMIT {PICTURES}"
    for number, row in enumerate(rows(binary, pipeline, statement, *store)):
        picture = Image.open(io.BytesIO(bytes.fromhex(row["bytes"])) if row["bytes"] else row["path"]).convert("RGB")
        ImageOps.fit(picture, (side, side)).save(folder / "pictures" / f"{number:03}.png")
    classes = json.loads((folder / "exported" / "classes.json").read_text())
    (folder / "classes.txt").write_text("\n".join(classes))
    (folder / "sentences.json").write_text(json.dumps({name: [f"a picture of a {name}."] for name in classes}))
    (folder / "pipeline.toml").write_text(SPEC)
    return str(folder / "pipeline.toml")


def difference(what, ours, theirs):
    theirs = torch.nn.functional.normalize(theirs, dim=-1)
    largest = (torch.tensor(ours) - theirs).abs().max().item()
    print(f"{len(ours)} {what}: largest difference {largest:.1e}")
    return largest


def main():
    binary, pipeline, *store = sys.argv[1:]
    with tempfile.TemporaryDirectory() as parent:
        folder = pathlib.Path(parent)
        subprocess.run([binary, "export", pipeline, "--output", folder / "exported", "--quiet", *store], check=True)
        model, processor = CLIPModel.from_pretrained(folder / "exported").eval(), CLIPProcessor.from_pretrained(folder / "exported")
        ours = prepare(folder, binary, pipeline, store)
        subprocess.run([binary, "run", ours, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        seen = rows(binary, ours, "SELECT path, cls_feature FROM embeddings JOIN images USING (image_id) ORDER BY path")
        said = rows(binary, ours, "SELECT sentence, feature FROM text_features")
        pictures = [Image.open(row["path"]).convert("RGB") for row in seen]
        words = [row["sentence"] for row in said]
        given = processor(text=words, images=pictures, padding=True, return_tensors="pt")
    with torch.no_grad():
        found = model(**given)
    largest = max(
        difference("pictures", [row["cls_feature"] for row in seen], found.image_embeds),
        difference("sentences", [row["feature"] for row in said], found.text_embeds),
    )
    if largest > LARGEST:
        sys.exit(f"error: more than {LARGEST:.0e}")


if __name__ == "__main__":
    main()
