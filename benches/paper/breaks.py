"""Where it breaks first, and what changes then."""

from math import ceil, log2

from page import rows
from paper.numbers import *  # noqa: F403  (names in capitals, `parts`, `id_requests` and `start`)
from paper.simulated import KINDS, committed
from paper.words import millions, size, time


def breaks():
    """What breaks at which number of GPUs or pictures, the smallest first, and what changes then."""
    row = EMBEDDING + COMPOSITE + 2 * LOGITS
    # As the part of 1,231,892 rows has them: 152 groups.
    group_rows = GROUP_BYTES // (64 + 4 + 64 + 4 * CLASSES)
    few = gpus_of(0.8, *KINDS[f"parts of {LARGER_PART:,} without tokens"])
    by_gpus = [
        (
            1,
            f"**objects: the put of a part is its claim**, so puts of a partition go in turn, {size(PART_ROWS * EMBEDDING)} by one request "
            f"each, and no further GPU adds anything (without tokens, in parts of {LARGER_PART:,}: from {few} on)",
            "a partition a shard, or names by content (a hash of the ids): nobody wants another's name; several parts put while the next are "
            "computed",
        ),
        (
            ids_full(),
            f"objects: each process reads the ids of what the others named, {id_requests(PART_ROWS)} GETs a part, and a prefix gives {GETS:,}/s",
            "no look where shards are ranges of ids; elsewhere ids in an object of their own",
        ),
        (
            ends_in_turn(),
            f"shards end in turn, each by reading what is there of all: 64 take {time(GPUS * start(PICTURES))} for a billion, longer than the "
            "forwards",
            "the last one alone looks, by the rows that footers count",
        ),
        (
            INGEST_CORE * HOST_CORES / GPU_RATE,
            f"one process ingests while the others wait, {time(PICTURES / INGEST_CORE / HOST_CORES)} on {HOST_CORES} cores: longer than the forwards",
            "ingest by shards of the source's files, merged by id",
        ),
    ]
    by_pictures = [
        (
            turn_full(),
            "64 processes on one file system: a part gets its name in the store's turn, which reads its folder twice; "
            f"{2 * RATE / PART_ROWS:.0f} parts/s are to be named (ext4; a network's file system is slower)",
            "a folder a shard; larger parts",
        ),
        (
            memory_holds(24 * GB),
            f"a machine of 24 GB: {MEMORY_A_PICTURE / KB:.1f} kB are known of each picture",
            "ids of 32 bytes, once, mapped from a file; places read when a picture is: some 50 bytes",
        ),
        (
            MEMORY_OF_SQL / JOIN_A_ROW,
            f"`sql` that joins by id, in its default of {size(MEMORY_OF_SQL)}: a hash table of all ids takes some {JOIN_A_ROW:.0f} bytes each",
            "`--memory-limit`, up to what the host has; joins side by side by ranges of ids, as in a pass",
        ),
        (
            (TEXT_BYTES + 1) // ID_LETTERS,
            "**the ids of a pass, of all labels and of all answers are one column of text**, whose offsets have 32 bits: an error on any machine",
            "blocks of rows, as the prior is written; ids of 32 bytes",
        ),
        (
            HOST_DISK / row,
            f"the disk of one host, {size(HOST_DISK)}: {row / KB:.0f} kB a picture, and tokens are {TOKENS / row:.0%} of it",
            "a table of tokens for the pictures that are trained on alone",
        ),
        (
            group_rows * GROUPS_A_FILE,
            f"`fusion_logits` of a pass is one file, and Parquet has at most 32,767 row groups, here of {group_rows:,} rows (10,000 classes: of "
            "a tenth)",
            "a part for each range of ids, as several machines need anyway",
        ),
        (DAY / HEAD_STEP_16 * 16, "a pass of training steps takes a day on the one GPU that a run uses", "a sample: see [a pass](#a-pass)"),
        (
            neighbours_in(DAY),
            f"neighbours take a day of {HOST_CORES} cores at least: each picture is compared with the centres of all cells, whose number grows "
            f"with the pictures (and their one file is full at {millions(GROUPS_A_FILE * GROUP_ROWS / 10)})",
            "cells of cells, and GPUs; or none, since only propagation and `duplicates` read them",
        ),
        (
            memory_holds(HOST_MEMORY),
            f"a host of {size(HOST_MEMORY)}: {MEMORY_A_PICTURE / KB:.1f} kB a picture, {size(MEMORY_A_PICTURE * PICTURES)} for a billion; and "
            f"eight shards that begin again, which have all ids of two tables in sets, {size(2 * HOST_GPUS * set_of_ids(PICTURES))}",
            "as for 24 GB; sets of the ids of the shard",
        ),
    ]
    lines = [[f"{n:,.0f} GPU{'s' if n > 1 else ''}", what, then] for n, what, then in sorted(by_gpus)]
    lines += [[millions(n), what, then] for n, what, then in sorted(by_pictures)]
    return rows(["from:", "what breaks", "what changes then"], lines)


def memory_holds(memory):
    return (memory - MEMORY_FIXED) / MEMORY_A_PICTURE


def set_of_ids(n):
    """Bytes of a set of so many ids: 32 and a mark each, a power of two of them, of which seven in eight are used at most."""
    return 33 * 2 ** ceil(log2(n * 8 / 7))


def neighbours_flop(n):
    """Products that the neighbours of n pictures take: centres from a sample, every picture to all of them twice, and to pictures of near cells."""
    cells = n / CELL
    return 2 * JOINT * (ROUNDS * SAMPLED * cells * cells + 2 * n * cells + n * LOOKED_INTO * CELL)


def neighbours_in(seconds):
    return solve(lambda n: neighbours_flop(n) - seconds * HOST_CORES * CORE_FLOPS)


def turn_full():
    """Pictures at which naming 64 workers' parts of two tables takes all of the store's one turn."""
    return solve(lambda n: 2 * RATE / PART_ROWS * (2 * n / PART_ROWS / ENTRIES + NAMED) - 1)


def ends_in_turn():
    """GPUs from which on the ends of their shards take longer than the forwards, whatever the number of pictures."""
    return solve(lambda n: n * start(PICTURES) - PICTURES / (n * GPU_RATE))


def ids_full():
    """GPUs whose parts, read by all others, take all GETs of a prefix."""
    return solve(lambda n: n * n * GPU_RATE / PART_ROWS * id_requests(PART_ROWS) - GETS)


def gpus_of(share, rows, row):
    return next(n for n in range(1, GPUS + 1) if committed(n, rows, row).computing < share)


def solve(of):
    """Where an increasing function passes zero, by halving."""
    low, high = 0.0, 1e13
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if of(middle) > 0 else (middle, high)
    return high
