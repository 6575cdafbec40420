"""Peer (a): a folder of pictures through transformers' CLIP, as one would write it: DataLoader, SDPA, inference mode.

    embed.py MODEL FOLDER [--precision bf16] [--batch 64] [--threads 2] [--device cuda]    the folder, into an array that is saved
    embed.py MODEL --forward-only SECONDS                                                  the vision tower alone, on pixels in memory

Prints one line of JSON. The clock of the folder starts after the imports and the weights: our own counts them.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy
import torch
from PIL import Image
from transformers import AutoImageProcessor, CLIPVisionModelWithProjection


class Folder(torch.utils.data.Dataset):
    def __init__(self, folder, processor):
        self.files = sorted(Path(folder).rglob("*.jpg"))
        self.processor = processor

    def __len__(self):
        return len(self.files)

    def __getitem__(self, n):
        picture = Image.open(self.files[n]).convert("RGB")
        return self.processor(images=picture, return_tensors="pt")["pixel_values"][0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="and as many processes that decode")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--forward-only", type=float, metavar="SECONDS")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    number = {"fp32": torch.float32, "bf16": torch.bfloat16}[options.precision]
    model = CLIPVisionModelWithProjection.from_pretrained(options.model, dtype=number, attn_implementation="sdpa").eval().to(options.device)
    run = forward if options.forward_only else folder
    with torch.inference_mode():
        print(json.dumps(run(model, number, options)))


def forward(model, number, options):
    side = model.config.image_size
    pixels = torch.randn(options.batch, 3, side, side).to(options.device, number)
    model(pixel_values=pixels)[0].cpu()
    times, end = [], time.perf_counter() + options.forward_only
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        # What a GPU has not computed yet is waited for.
        model(pixel_values=pixels)[0].cpu()
        times.append(time.perf_counter() - began)
    return {"rate": options.batch / statistics.median(times)}


def folder(model, number, options):
    # Pillow's processor: what transformers has without torchvision.
    processor = AutoImageProcessor.from_pretrained(options.model, backend="pil")
    began = time.perf_counter()
    data = Folder(options.folder, processor)
    pinned = options.device != "cpu"
    loader = torch.utils.data.DataLoader(data, batch_size=options.batch, num_workers=options.threads, pin_memory=pinned)
    features = []
    for pixels in loader:
        found = model(pixel_values=pixels.to(options.device, number, non_blocking=True)).image_embeds.float()
        features.append(torch.nn.functional.normalize(found, dim=-1))
    features = torch.cat(features).cpu().numpy()
    numpy.save("/dev/null", features)
    return {"images": len(features), "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    main()
