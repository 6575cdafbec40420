"""Weights and pixels by a formula, which tests/common has too, so that none are kept."""

import numpy as np
import torch


def mixed(name, count):
    """`count` numbers of 32 bits that depend on the name."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = (seed ^ byte) * 0x01000193 & 0xFFFFFFFF
    with np.errstate(over="ignore"):
        h = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed)
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            h = (h ^ h >> np.uint32(shift)) * np.uint32(factor)
        return h ^ h >> np.uint32(16)


def tensor(name, shape):
    unit = (mixed(name, int(np.prod(shape))) >> np.uint32(8)).astype(np.float64) / 2**23 - 1
    if len(shape) == 1:
        values = unit * 0.2 + (1.0 if name.endswith(".weight") else 0.0)
    else:
        values = unit * 1.5 * np.sqrt(3 / max(np.prod(shape[1:]), 1))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))
