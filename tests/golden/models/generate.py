#!/usr/bin/env python3
"""Writes what transformers and open_clip make of the same weights, and which of open_clip's models are plain.

    generate.py [OUT]

Needs torch, transformers, open_clip_torch and safetensors; figures in README.md are of the versions named there. No weights are kept: they follow
from ../formula.py.
"""
import json
import pathlib
import sys
import tempfile

import numpy as np
import open_clip
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from formula import mixed, tensor  # noqa: E402

OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
TOKENIZER = HERE.parents[2] / "data/clip-flora"
IMAGE, PATCH, LAYERS, JOINT, CONTEXT, VOCAB, START, END = 24, 8, 2, 24, 16, 921, 919, 920
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]

# Widths of heads and of MLPs are those of ViT-H/14 (80), ViT-g/14 (88) and ViT-bigG/14 (104); `eos` is what config.json calls the end
# mark: 2 stands for the largest id in files of before 2023.
CASES = {
    "gelu-80": dict(width=160, head=80, mlp_ratio=2.0, text_width=160, text_heads=2, act="gelu", eos=END),
    "quick-gelu-80": dict(width=160, head=80, mlp_ratio=2.0, text_width=160, text_heads=2, act="quick_gelu", eos=2),
    "gelu-88": dict(width=176, head=88, mlp_ratio=4.3637, text_width=128, text_heads=2, act="gelu", eos=END),
    "gelu-104": dict(width=208, head=104, mlp_ratio=4.9231, text_width=128, text_heads=2, act="gelu", eos=2),
    "tanh-eps-80": dict(width=160, head=80, mlp_ratio=2.0, text_width=128, text_heads=2, act="gelu_pytorch_tanh", eos=END,
                        eps=(1e-2, 1e-3)),
}
SENTENCES = [
    "a photo of a rose.",
    "a flower with five yellow petals",
    "Tulip",
    "a red flower <|endoftext|> with a long stem",
    "a red <|startoftext|> flower",
]  # fmt: skip


def picture(number):
    return (mixed(f"picture {number}", IMAGE * IMAGE * 3) >> np.uint32(24)).astype(np.uint8).reshape(IMAGE, IMAGE, 3)


def transformers_name(name):
    for theirs, ours in (
        ("visual.transformer.resblocks.", "vision_model.encoder.layers."), ("visual.class_embedding", "vision_model.embeddings.class_embedding"),
        ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"), ("visual.proj", "visual_projection.weight"),
        ("visual.conv1.", "vision_model.embeddings.patch_embedding."), ("visual.ln_pre.", "vision_model.pre_layrnorm."),
        ("visual.ln_post.", "vision_model.post_layernorm."), ("transformer.resblocks.", "text_model.encoder.layers."),
        ("token_embedding.", "text_model.embeddings.token_embedding."), ("ln_final.", "text_model.final_layer_norm."),
        ("positional_embedding", "text_model.embeddings.position_embedding.weight"), ("text_projection", "text_projection.weight"),
    ):  # fmt: skip
        if name.startswith(theirs):
            name = ours + name[len(theirs):]
            break
    for theirs, ours in ((".ln_", ".layer_norm"), (".attn.", ".self_attn."), (".c_fc.", ".fc1."), (".c_proj.", ".fc2.")):
        name = name.replace(theirs, ours)
    return name


def as_transformers(state):
    out = {}
    for name, value in state.items():
        if ".in_proj_" in name:
            block, which = name.split(".in_proj_")
            for part, chunk in zip("qkv", value.chunk(3)):
                out[transformers_name(f"{block}.{part}_proj.{which}")] = chunk.clone()
        else:
            plain_matrix = name in ("visual.proj", "text_projection")
            out[transformers_name(name)] = value.T.clone() if plain_matrix else value
    return out


def configurations(case):
    eps = case.get("eps", (1e-5, 1e-5))
    tower = lambda width, heads, mlp: dict(
        hidden_size=width, num_attention_heads=heads, intermediate_size=mlp, num_hidden_layers=LAYERS, hidden_act=case["act"],
        projection_dim=JOINT,
    )  # fmt: skip
    vision_mlp, text_mlp = int(case["width"] * case["mlp_ratio"]), case["text_width"] * 4
    theirs = CLIPConfig(
        projection_dim=JOINT,
        vision_config=dict(tower(case["width"], case["width"] // case["head"], vision_mlp), image_size=IMAGE, patch_size=PATCH,
                           layer_norm_eps=eps[0]),
        text_config=dict(tower(case["text_width"], case["text_heads"], text_mlp), vocab_size=VOCAB, max_position_embeddings=CONTEXT,
                         bos_token_id=START, eos_token_id=case["eos"], pad_token_id=END, layer_norm_eps=eps[1]),
    )  # fmt: skip
    vision = dict(image_size=IMAGE, layers=LAYERS, width=case["width"], head_width=case["head"], mlp_ratio=case["mlp_ratio"], patch_size=PATCH)
    text = dict(context_length=CONTEXT, vocab_size=VOCAB, width=case["text_width"], heads=case["text_heads"], layers=LAYERS)
    if "eps" in case:
        vision |= dict(norm_kwargs=dict(eps=eps[0]), act_kwargs=dict(approximate="tanh"))
        text |= dict(norm_kwargs=dict(eps=eps[1]), act_kwargs=dict(approximate="tanh"))
    model = dict(embed_dim=JOINT, vision_cfg=vision, text_cfg=text)
    if case["act"] == "quick_gelu":
        model["quick_gelu"] = True
    return theirs, model


def run(name, case, tokenizer, processor):
    theirs, model_cfg = configurations(case)
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    ours = open_clip.CLIP(**model_cfg).eval()
    skipped = {"logit_scale"}
    state = {key: tensor(key, tuple(value.shape)) for key, value in ours.state_dict().items() if key not in skipped}
    ours.load_state_dict(state | {"logit_scale": ours.logit_scale.detach()}, strict=True)

    model = CLIPModel(theirs)
    model.load_state_dict(as_transformers(state) | {"logit_scale": model.logit_scale.detach()}, strict=True)
    with tempfile.TemporaryDirectory() as work:
        model.save_pretrained(work)
        (folder / "config.json").write_bytes(pathlib.Path(work, "config.json").read_bytes())
        stored = load_file(pathlib.Path(work, "model.safetensors"))
        assert set(stored) == set(as_transformers(state)) | {"logit_scale"}, "transformers stores other names"
        model = CLIPModel.from_pretrained(work).eval()
        assert model.config.text_config.eos_token_id == case["eos"]
    # As open_clip's push_to_hf_hub writes it.
    written = {"model_cfg": model_cfg, "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(written, indent=2) + "\n")

    pictures = [picture(n) for n in range(2)]
    pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
    tokens = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    ids = [tokenizer(sentence)["input_ids"] for sentence in SENTENCES]
    padded = torch.tensor([row + [0] * (CONTEXT - len(row)) for row in ids])
    out = {}
    with torch.no_grad():
        images, texts = model.get_image_features(pixels), model.get_text_features(**tokens)
        out["transformers/image"] = getattr(images, "pooler_output", images)
        out["transformers/text"] = getattr(texts, "pooler_output", texts)
        out["open_clip/image"], out["open_clip/text"] = ours.encode_image(pixels), ours.encode_text(padded)
    save_file({key: value.contiguous() for key, value in out.items()}, folder / "expected.safetensors")
    for kind in ("image", "text"):
        a, b = out[f"transformers/{kind}"], out[f"open_clip/{kind}"]
        print(name, kind, f"apart by {(a - b).abs().max():.1e} of {a.abs().max():.2f}")
    return ids


def sizes(config):
    """What a plain CLIP of open_clip computes, as its modules say it; None for any other model."""
    if any(config.get(key) for key in ("custom_text", "multimodal_cfg")) or config["vision_cfg"].get("timm_model_name"):
        return None
    if any(config["text_cfg"].get(key) for key in ("hf_model_name", "hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs")):
        return None
    with torch.device("meta"):
        model = open_clip.CLIP(**config)
    visual = model.visual
    blocks = lambda stack: list(stack.resblocks)
    plain = (
        type(visual) is open_clip.transformer.VisionTransformer and visual.attn_pool is None and visual.pool_type == "tok"
        and not isinstance(visual.ln_pre, torch.nn.Identity) and visual.positional_embedding.requires_grad
        and model.text_pool_type == "argmax" and model.attn_mask is not None and isinstance(model.text_projection, torch.nn.Parameter)
        and all(type(block) is open_clip.transformer.ResidualAttentionBlock and isinstance(block.ls_1, torch.nn.Identity)
                for block in blocks(visual.transformer) + blocks(model.transformer))
    )  # fmt: skip
    if not plain:
        return None
    first, said = blocks(visual.transformer)[0], blocks(model.transformer)[0]
    activation = {"GELU": "gelu", "QuickGELU": "quick_gelu"}[type(first.mlp.gelu).__name__]
    return [
        visual.conv1.out_channels, len(blocks(visual.transformer)), first.attn.num_heads, first.mlp.c_fc.out_features, visual.image_size[0],
        visual.patch_size[0], said.ln_1.normalized_shape[0], len(blocks(model.transformer)), said.attn.num_heads, said.mlp.c_fc.out_features,
        model.vocab_size, model.context_length, model.text_projection.shape[1], activation,
    ]  # fmt: skip


def models():
    """One line for each model that open_clip knows: its name, its sizes if it is plain, and its configuration."""
    for file in sorted((pathlib.Path(open_clip.__file__).parent / "model_configs").glob("*.json"), key=lambda file: file.name):
        config = json.loads(file.read_text())
        yield json.dumps({"name": file.stem, "sizes": sizes(config), "config": config}, separators=(",", ":")) + "\n"


def main():
    (OUT / "open_clip_models.jsonl").write_text("".join(models()))
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    image_processor = CLIPImageProcessor(size={"shortest_edge": IMAGE}, crop_size={"height": IMAGE, "width": IMAGE}, image_mean=MEAN, image_std=STD)
    with tempfile.TemporaryDirectory() as work:
        CLIPProcessor(image_processor, tokenizer).save_pretrained(work)
        print("transformers writes", sorted(file.name for file in pathlib.Path(work).iterdir()))
        (OUT / "processor_config.json").write_bytes(pathlib.Path(work, "processor_config.json").read_bytes())
    for name, case in CASES.items():
        ids = run(name, case, tokenizer, image_processor)
    (OUT / "sentences.json").write_text(json.dumps([{"text": t, "ids": i} for t, i in zip(SENTENCES, ids)], indent=1) + "\n")


if __name__ == "__main__":
    main()
