#!/usr/bin/env python3
"""Writes what transformers makes of small DINOs.

    generate.py [OUT]

Needs torch, transformers and safetensors; figures in README.md are of the versions named there. No weights are kept: they follow from
../formula.py.
"""
import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import Dinov2Config, Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel, DINOv3ViTConfig, DINOv3ViTModel

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from formula import mixed, tensor  # noqa: E402

OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE


def pictures(side):
    """Two pictures, (2, 3, side, side), normalised by 0.5."""
    rows = [(mixed(f"picture {n}", side * side * 3) >> np.uint32(24)).reshape(side, side, 3) for n in range(2)]
    return (torch.from_numpy(np.stack(rows).astype(np.float32)).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5


SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
V2 = dict(SIZES, image_size=28, patch_size=7)
V3 = dict(SIZES, image_size=32, patch_size=8, intermediate_size=64)
# The class, its settings, and the sides of pictures: that of the table of positions first, then others, one of which no whole number of patches
# covers.
CASES = {
    "dinov2": (Dinov2Model, Dinov2Config(**V2), (28, 42, 23)),
    "dinov2-swiglu": (Dinov2Model, Dinov2Config(**V2, use_swiglu_ffn=True), (28, 35)),
    "dinov2-registers": (Dinov2WithRegistersModel, Dinov2WithRegistersConfig(**V2, num_register_tokens=4), (28, 42, 23)),
    "dinov3": (DINOv3ViTModel, DINOv3ViTConfig(**V3, num_register_tokens=4), (32, 48)),
    "dinov3-gated": (DINOv3ViTModel, DINOv3ViTConfig(**V3, num_register_tokens=2, use_gated_mlp=True, hidden_act="silu", key_bias=True,
                                                     mlp_bias=False, rope_theta=50.0), (32,)),
}  # fmt: skip


def run(name, kind, config, sides):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        kind(config).save_pretrained(work)
        (folder / "config.json").write_bytes(pathlib.Path(work, "config.json").read_bytes())
        file = pathlib.Path(work, "model.safetensors")
        shapes = {key: tuple(value.shape) for key, value in load_file(file).items()}
        save_file({key: tensor(key, shape) for key, shape in shapes.items()}, file, metadata={"format": "pt"})
        model = kind.from_pretrained(work).eval()
    (folder / "tensors.json").write_text(json.dumps(shapes, separators=(",", ":")).replace("],", "],\n ") + "\n")
    out = {}
    with torch.no_grad():
        for side in sides:
            tokens = model(pictures(side)).last_hidden_state
            first = 1 + getattr(config, "num_register_tokens", 0)
            out[f"{side}/cls"], out[f"{side}/patches"] = tokens[:, 0], tokens[:, first:].mean(1)
    save_file({key: value.contiguous() for key, value in out.items()}, folder / "expected.safetensors")
    print(name, {key: f"{value.abs().max():.2f}" for key, value in out.items()})


if __name__ == "__main__":
    for name, case in CASES.items():
        run(name, *case)
