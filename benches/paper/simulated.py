"""What the two simulations say of 64 GPUs."""

from functools import cache
from math import ceil

import plot
from page import rows
from paper.commits import Objects, alone, simulate
from paper.looks import Part, pages
from paper.numbers import *  # noqa: F403  (names in capitals, `parts` and `start`)
from paper.schedule import Workers, pulled, shards
from paper.words import time


def objects(pictures, row, there):
    """A store of objects that has so many parts already, of so many pictures of so many bytes."""
    part = Part("embeddings", pictures, row)
    return Objects(LATENCY, REQUEST, pages(there), part.glance.requests, part.end.requests, RANGED)


def crew(units, slow, failures, again):
    """64 workers who embed a billion pictures in so many units, and put parts beside computing."""
    return Workers(GPUS, units, PICTURES / units / GPU_RATE, SPREAD, slow, SLOWNESS, failures, again, NOTICED)


def schedules():
    """How long 64 GPUs take, by who deals out the units: if all are alike, and if some are slow."""
    many = ceil(PICTURES / LARGER_PART)
    dealt = {
        "`--shard i/64`": (many, shards),
        f"a list of {many:,} units": (many, lambda workers, seed: pulled(workers, seed, False)),
        f"a list of {FEW_UNITS}": (FEW_UNITS, lambda workers, seed: pulled(workers, seed, False)),
        "the same, its last units twice": (FEW_UNITS, lambda workers, seed: pulled(workers, seed, True)),
    }
    lines = []
    for name, failures in [("none", 0.0), ("as published", HARDWARE), ("spot", SPOT)]:
        for way, (units, deal) in dealt.items():
            alike, slow = (deal(crew(units, share, failures, start(PICTURES)), SEED) for share in [0.0, SLOW])
            cells = [f"{alike.makespan / HOUR:.2f} h", f"{slow.makespan / HOUR:.2f} h", slow.failures, f"{slow.lost / HOUR:.1f} h", slow.twice]
            lines.append([name, way, *cells, f"{slow.idle:.0%}"])
    return rows(["failures", "dealt by", "all alike:", "two slow:", "failures:", "GPU time lost:", "thrown away:", "no work:"], lines)


KINDS = {
    f"parts of {PART_ROWS:,}, the default": (PART_ROWS, EMBEDDING),
    f"parts of {LARGER_PART:,}": (LARGER_PART, EMBEDDING),
    f"parts of {LARGER_PART:,} without tokens": (LARGER_PART, EMBEDDING - TOKENS),
}


@cache
def committed(writers, pictures, row, there):
    """Writers that share a partition which has so many parts."""
    return simulate(writers, pictures / GPU_RATE, pictures * row, objects(pictures, row, there), 400, SPREAD, SEED)


def halfway(pictures):
    """Parts of so many pictures that are there when half of all is."""
    return parts(pictures) / 2


def commits():
    """What becomes of GPUs that name parts in one partition of objects, and in partitions of their own, when half of all parts are there."""
    lines = []

    def line(name, writers, puts, share):
        speed = writers * GPU_RATE * share
        lines.append([name, writers, f"{puts:.1f}", f"{speed:,.0f}", f"{share:.1%}", time(PICTURES / speed)])

    for name, (pictures, row) in KINDS.items():
        for writers in [1, 8, GPUS]:
            found = committed(writers, pictures, row, halfway(pictures))
            line(name, writers, found.puts / found.commits, found.computing)
        for how, beside in [("a partition each", False), ("the same, put beside computing", True)]:
            own = objects(pictures, row, halfway(pictures) / GPUS)
            line(f"{name}; {how}", GPUS, 1, alone(pictures / GPU_RATE, pictures * row, own, beside))
    return rows(["parts", "GPUs:", "puts each:", "pictures/s:", "computing:", "a billion takes:"], lines)


def drawn():
    """The plot: pictures a second over GPUs."""
    several = [1, 2, 4, 8, 16, 32, 64]
    speed = lambda writers, kind: writers * GPU_RATE * committed(writers, *kind, halfway(kind[0])).computing
    lines = {f"one partition, {name}": [(n, speed(n, kind)) for n in several] for name, kind in KINDS.items()}
    lines["a partition each, put beside computing"] = [(n, n * GPU_RATE) for n in several]
    return plot.svg(lines, "/s", straight=False, across="GPUs")
