"""Peer (b): the released recipe (microCLIP, arXiv 2510.02270) as a plain PyTorch loop, for its time, not its outcome.

    recipe.py MODEL FOLDER [--steps 3] [--batch 16] [--lean]

At every step the encoder as it stands sees the weak view, eight crops and the strong view of each picture, and the strong view is
differentiated: ten forwards and one backward a picture. As in the released code, every block computes the value path as well, with an
MLP of its own, and the last one's is kept; `--lean` computes it in the last block only. Saliency is by `eigh`. Written from the
formulas; the augmentation is torch's cheapest stand-in for RandAugment, so that decoding and views cost this peer less than they would.

Prints one line of JSON: seconds a step, the median after one that is not counted.
"""

import argparse
import json
import random
import statistics
import time
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from transformers import CLIPVisionModelWithProjection

CLASSES, CROPS, TAU, EPS = 102, 8, 0.2, 1e-6
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


class Views(torch.utils.data.Dataset):
    """Weak view, strong view and crops of a picture, from one decode."""

    def __init__(self, folder, side):
        self.side = side
        self.files = sorted(Path(folder).rglob("*.jpg"))

    def __len__(self):
        return len(self.files)

    def __getitem__(self, n):
        picture = Image.open(self.files[n]).convert("RGB")
        width, height = picture.size
        shorter = min(width, height)
        scale = self.side / shorter
        small = picture.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
        left, top = random.randint(0, small.width - self.side), random.randint(0, small.height - self.side)
        weak = small.crop((left, top, left + self.side, top + self.side))
        strong = self.square(picture, random.uniform(0.55, 1.0) * shorter)
        strong = ImageOps.autocontrast(ImageOps.mirror(strong)) if random.random() < 0.5 else ImageOps.posterize(strong, 4)
        crops = [self.square(picture, random.uniform(0.5, 0.9) * shorter) for _ in range(CROPS)]
        return torch.stack([tensor(view) for view in [weak, strong, *crops]])

    def square(self, picture, side):
        side = round(side)
        left, top = random.randint(0, picture.width - side), random.randint(0, picture.height - side)
        box = (left, top, left + side, top + side)
        return picture.resize((self.side, self.side), Image.Resampling.BICUBIC, box=box)


def tensor(picture):
    pixels = torch.from_numpy(numpy.array(picture)).permute(2, 0, 1).float() / 255
    return (pixels - MEAN) / STD


class Model(torch.nn.Module):
    def __init__(self, path, lean):
        super().__init__()
        self.clip = CLIPVisionModelWithProjection.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa")
        self.lean = lean
        width, joint = self.clip.config.hidden_size, self.clip.config.projection_dim
        self.query, self.key, self.value = (torch.nn.Linear(width, width, bias=False) for _ in range(3))
        for linear in (self.query, self.key, self.value):
            torch.nn.init.eye_(linear.weight)
        self.head = torch.nn.Parameter(F.normalize(torch.randn(CLASSES, joint), dim=-1))
        self.clip.requires_grad_(False)
        for name, parameter in self.clip.named_parameters():
            parameter.requires_grad_("norm" in name or "layrnorm" in name)

    def forward(self, pixels, with_patches=True):
        vision = self.clip.vision_model if hasattr(self.clip, "vision_model") else self.clip
        hidden = vision.pre_layrnorm(vision.embeddings(pixels))
        layers = vision.encoder.layers
        for n, layer in enumerate(layers):
            if with_patches and (not self.lean or n + 1 == len(layers)):
                # The value path: each token alone, through this block's projections and MLP.
                values = layer.self_attn.out_proj(layer.self_attn.v_proj(layer.layer_norm1(hidden)))
                dense = hidden + values
                dense = dense + layer.mlp(layer.layer_norm2(dense))
            hidden = layer(hidden, None)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        cls = self.clip.visual_projection(vision.post_layernorm(hidden[:, 0]))
        return F.normalize(cls, dim=-1), vision.post_layernorm(dense)[:, 1:] if with_patches else None

    def tokens(self, cls, patches):
        mask = foreground(patches.detach()).unsqueeze(-1)
        query = (patches * mask).sum(1) / mask.sum(1).clamp_min(1)
        keys = torch.cat([patches, torch.zeros_like(patches[:, :1])], 1)
        scores = self.query(query).unsqueeze(1) @ self.key(keys).transpose(1, 2) / keys.shape[-1] ** 0.5
        pooled = (scores.softmax(-1) @ self.value(keys)).squeeze(1)
        return cls, F.normalize(self.clip.visual_projection(pooled), dim=-1)


def foreground(patches):
    """The normalised cut of the patch graph, by `eigh`."""
    affinity = torch.where(patches @ patches.transpose(1, 2) > TAU, 1.0, EPS)
    degree = affinity.sum(-1)
    scale = degree.rsqrt()
    laplacian = torch.eye(affinity.shape[-1]) - scale.unsqueeze(-1) * affinity * scale.unsqueeze(-2)
    vector = torch.linalg.eigh(laplacian)[1][..., 1]
    mask = vector > vector.std(-1, keepdim=True)
    inside = mask.gather(1, vector.abs().argmax(-1, keepdim=True))
    return torch.where(inside, mask, ~mask).float()


def step(model, optimiser, views, prior_head, average):
    batch = len(views)
    with torch.no_grad():
        cls, patches = model(views[:, 0])
        weak_cls, weak_fg = model.tokens(cls, patches)
        crops, _ = model(views[:, 2:].flatten(0, 1))
        crops = crops.view(batch, CROPS, -1)
        weights = (crops @ weak_cls.unsqueeze(-1)).softmax(1)
        prior = F.normalize((weights * crops).sum(1), dim=-1) @ prior_head.T
        head = F.normalize(model.head, dim=-1)
        fused = F.normalize(0.5 * weak_cls + 0.5 * weak_fg, dim=-1) @ head.T
        labels = (0.5 * prior + 0.5 * fused).argmax(-1)
    cls, fg = model.tokens(*model(views[:, 1]))
    logits = 100 * (0.5 * cls + 0.5 * fg) @ F.normalize(model.head, dim=-1).T
    mean = logits.softmax(-1).mean(0)
    mean = mean if average is None else 0.5 * average + 0.5 * mean
    loss = F.cross_entropy(logits, labels) - mean.log().mean() / 0.5
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return mean.detach(), loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("folder")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=torch.get_num_threads())
    parser.add_argument("--lean", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = Model(options.model, options.lean)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.1)
    prior_head = F.normalize(torch.randn_like(model.head), dim=-1)
    loader = torch.utils.data.DataLoader(
        Views(options.folder, model.clip.config.image_size), batch_size=options.batch, num_workers=options.workers, shuffle=True
    )
    times, average, began = [], None, time.perf_counter()
    for views in loader:
        average, _ = step(model, optimiser, views, prior_head, average)
        times.append(time.perf_counter() - began)
        began = time.perf_counter()
        if len(times) > options.steps:
            break
    print(json.dumps({"seconds_a_step": statistics.median(times[1:]), "batch": options.batch, "steps": len(times) - 1}))


if __name__ == "__main__":
    main()
