"""Makes what is measured: models of real size with random weights, and pictures. The same arguments give the same bytes.

    inputs.py model NAME FOLDER
    inputs.py pictures FOLDER COUNT WIDTHxHEIGHT[-WIDTHxHEIGHT] [--classes 10]

Pictures are JPEGs as cameras and the web have them: 4:2:0, quality 85 to 92, a spectrum that falls with frequency as photographs' does, with
shapes of sharp edges in it, so that an entropy decoder has about as much to do: a bit and a half a pixel.
"""

import argparse
import json
import multiprocessing
import shutil
from pathlib import Path

import numpy
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
# Width, blocks, heads, patch, joint width, pixels; width, blocks and heads of the text tower.
TEXT = (512, 12, 8)
MODELS = {"b32": (768, 12, 12, 32, 512, 224, *TEXT), "b16": (768, 12, 12, 16, 512, 224, *TEXT), "l14": (1024, 24, 16, 14, 768, 224, *TEXT)}
# So narrow that the rows of a million pictures fit on a disk: 4 patches of width 64.
MODELS["narrow"] = (64, 1, 2, 8, 64, 16, 64, 2, 2)


def model(name, folder):
    """A CLIPModel in Hugging Face's layout, fp16. The tokenizer is the embedded CLIP's; the text tower has OpenAI's size but for the vocabulary.

    The projection of the narrow one keeps tokens as they are, so that tokens can be made that mean a class.
    """
    from safetensors.numpy import save_file

    width, layers, heads, patch, joint, side, text_width, text_layers, text_heads = MODELS[name]
    small = ROOT / "data" / "clip-flora"
    config = json.loads((small / "config.json").read_text())
    preprocess = json.loads((small / "preprocessor_config.json").read_text())
    vision, text = config["vision_config"], config["text_config"]
    vision.update(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads)
    vision.update(image_size=side, patch_size=patch, projection_dim=joint)
    text.update(hidden_size=text_width, intermediate_size=4 * text_width, num_hidden_layers=text_layers)
    text.update(num_attention_heads=text_heads, projection_dim=joint)
    config["projection_dim"] = joint
    preprocess.update(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocess, indent=2))
    for file in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(small / file, folder)
    rng = numpy.random.default_rng(0)
    weights = {}

    def normal(name, *shape, deviation):
        weights[name] = (rng.standard_normal(shape, dtype=numpy.float32) * deviation).astype(numpy.float16)

    def norm(name, width):
        weights[f"{name}.weight"] = numpy.ones(width, numpy.float16)
        weights[f"{name}.bias"] = numpy.zeros(width, numpy.float16)

    def linear(name, out, into, bias=True):
        normal(f"{name}.weight", out, into, deviation=into**-0.5)
        if bias:
            normal(f"{name}.bias", out, deviation=0.02)

    def tower(prefix, sizes):
        width = sizes["hidden_size"]
        for n in range(sizes["num_hidden_layers"]):
            at = f"{prefix}.encoder.layers.{n}"
            for part in ["q_proj", "k_proj", "v_proj", "out_proj"]:
                linear(f"{at}.self_attn.{part}", width, width)
            linear(f"{at}.mlp.fc1", sizes["intermediate_size"], width)
            linear(f"{at}.mlp.fc2", width, sizes["intermediate_size"])
            norm(f"{at}.layer_norm1", width)
            norm(f"{at}.layer_norm2", width)

    tower("vision_model", vision)
    tower("text_model", text)
    normal("vision_model.embeddings.patch_embedding.weight", width, 3, patch, patch, deviation=(3 * patch * patch) ** -0.5)
    normal("vision_model.embeddings.class_embedding", width, deviation=0.5)
    normal("vision_model.embeddings.position_embedding.weight", (side // patch) ** 2 + 1, width, deviation=0.1)
    normal("text_model.embeddings.token_embedding.weight", text["vocab_size"], text_width, deviation=0.02)
    normal("text_model.embeddings.position_embedding.weight", text["max_position_embeddings"], text_width, deviation=0.01)
    norm("vision_model.pre_layrnorm", width)
    norm("vision_model.post_layernorm", width)
    norm("text_model.final_layer_norm", text_width)
    linear("visual_projection", joint, width, bias=False)
    linear("text_projection", joint, text_width, bias=False)
    if name == "narrow":
        weights["visual_projection.weight"] = numpy.eye(joint, width, dtype=numpy.float16)
    weights["logit_scale"] = numpy.array(4.6052, numpy.float16)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def pictures(folder, count, least, most, classes):
    """A folder a class; sizes are drawn between the two, landscape and upright."""
    jobs = [(folder / f"class-{n % classes:02}" / f"{n:06}.jpg", n, least, most) for n in range(count)]
    for n in range(classes):
        (folder / f"class-{n:02}").mkdir(parents=True, exist_ok=True)
    with multiprocessing.Pool() as pool:
        for _ in pool.imap_unordered(picture, jobs, chunksize=16):
            pass


def picture(job):
    path, seed, least, most = job
    rng = numpy.random.default_rng(seed)
    share = rng.random()
    width, height = (round(a + (b - a) * share) for a, b in zip(least, most))
    if least != most and rng.random() < 0.3:
        width, height = height, width
    # Octaves of noise, each half as strong as the one of half its frequency.
    light, colour = numpy.zeros((height, width), numpy.float32), numpy.zeros((height, width, 3), numpy.float32)
    strength, cells = 50.0, 3
    while cells < max(width, height):
        light += strength * noise(rng, cells, width, height)
        if cells < 100:
            for channel in range(3):
                colour[..., channel] += 0.5 * strength * noise(rng, cells, width, height)
        strength, cells = strength * 0.7, cells * 2
    pixels = Image.fromarray(numpy.clip(128 + light[..., None] + colour, 0, 255).astype(numpy.uint8))
    draw = ImageDraw.Draw(pixels)
    for _ in range(rng.integers(3, 9)):
        x, y, r = rng.integers(0, width), rng.integers(0, height), rng.integers(8, max(9, min(width, height) // 4))
        draw.ellipse([x - r, y - r // 2, x + r, y + r // 2], fill=tuple(int(c) for c in rng.integers(0, 256, 3)))
    pixels.save(path, quality=int(rng.integers(85, 93)), subsampling="4:2:0")


def noise(rng, cells, width, height):
    rows = max(2, round(cells * height / max(width, height)))
    grid = rng.standard_normal((rows, max(2, round(cells * width / max(width, height)))), dtype=numpy.float32)
    return numpy.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def size(text):
    width, height = text.split("x")
    return int(width), int(height)


def main():
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("model")
    verb.add_argument("name", choices=MODELS)
    verb.add_argument("folder", type=Path)
    verb = verbs.add_parser("pictures")
    verb.add_argument("folder", type=Path)
    verb.add_argument("count", type=int)
    verb.add_argument("sizes")
    verb.add_argument("--classes", type=int, default=10)
    options = parser.parse_args()
    if options.verb == "model":
        model(options.name, options.folder)
    else:
        sizes = [size(text) for text in options.sizes.split("-")]
        pictures(options.folder, options.count, sizes[0], sizes[-1], options.classes)


if __name__ == "__main__":
    main()
