"""Where it breaks first, and what changes then."""

from math import ceil, log2

from page import rows
from paper.looks import EMBEDDINGS, TABLES, driver, folders, footers, pictures, shard
from paper.numbers import *  # noqa: F403  (names in capitals, `parts` and `start`)
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
            1,
            "**objects: who reads all ids asks for those of one row group after another**: the driver of a cluster at the end, "
            f"{time(driver(parts()).seconds)} for a billion, and each shard at its own end, {time(shard(parts()).seconds)}",
            "the rows that footers count; requests side by side",
        ),
        (
            1,
            f"pictures at an address, an object each: an executor fetches those of a unit before its forwards, {AT_ONCE} at once, in "
            f"{time(pictures())}; the forwards take {time(UNIT_SECONDS)}",
            "several units at once (`--slots`), or the next one's meanwhile; no HEAD of what a list has named",
        ),
        (
            footers_last(lambda n: footers(n).seconds),
            f"objects: a process reads the footers of what the others name, one after another; of {GPUS} executors that takes "
            f"{time(footers(GPUS).seconds)} a unit, longer than its forwards (shards, whose tables look side by side: from "
            f"{footers_last(lambda n: own(n).seconds):.0f} on)",
            f"one reading of a footer for all that it says, {EMBEDDINGS.end.requests:.1f} GETs in place of {EMBEDDINGS.look(GPUS).requests:.1f}; "
            f"side by side, until those of {gets_full():.0f} GPUs take all {GETS:,}/s of a prefix; no look where nobody else has the range",
        ),
        (
            ends_in_turn(),
            f"shards end in turn, each by reading what is there of all: 64 take {time(GPUS * start(PICTURES))} for a billion, on a file system, "
            "longer than the forwards",
            "the last one alone looks, by the rows that footers count; or a cluster, whose driver alone looks",
        ),
        (
            INGEST_CORE * HOST_CORES / GPU_RATE,
            f"one process ingests while the others wait, {time(PICTURES / INGEST_CORE / HOST_CORES)} on {HOST_CORES} cores: longer than the forwards",
            "ingest by shards of the source's files, merged by id",
        ),
    ]
    by_pictures = [
        (
            LARGEST_PUT / LOGITS,
            f"objects: a table of one part is put by one request, of {size(LARGEST_PUT)} at most: `prior_logits` and `fusion_logits` are more "
            f"(`neighbours` from {millions(LARGEST_PUT / NEIGHBOURS)} on, `images` from {millions(LARGEST_PUT / IMAGES)})",
            "parts by ranges of ids, or an object of several requests",
        ),
        (
            lists_last(FILLING[0] + LACKING[0] + FINISHING[0]),
            f"objects: a unit waits for {FILLING[0] + LACKING[0] + FINISHING[0]} lists of a table's whole folder, {LISTED:,} names a page, for "
            f"longer than for its forwards (a part of a shard, for {FINISHING[0]}: from {millions(lists_last(FINISHING[0]))} on)",
            "lists from the last name on; larger parts",
        ),
        (
            turn_full(),
            "64 processes on one file system: a part gets its name in the store's turn, which reads its folder; "
            f"{2 * RATE / PART_ROWS:.0f} parts/s are to be named (ext4; a network's file system is slower)",
            "a folder a shard; larger parts",
        ),
        (
            folders_last(),
            f"a cluster on one file system: a unit reads its tables' folders {READINGS} times and asks for the times of all files {STATINGS} times, "
            "which takes longer than its forwards",
            "larger parts; one look for all that a unit asks",
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
            HOST_MEMORY / HOST_GPUS / ROW_KNOWN,
            f"eight executors of a host of {size(HOST_MEMORY)}: each has the rows of all pictures, {ROW_KNOWN} bytes each, and all "
            f"{size(HOST_GPUS * ROW_KNOWN * PICTURES)} for a billion",
            "the rows of a unit, by the span of a row group of `images`",
        ),
        (
            memory_holds(HOST_MEMORY),
            f"a host of {size(HOST_MEMORY)}: {MEMORY_A_PICTURE / KB:.1f} kB a picture, {size(MEMORY_A_PICTURE * PICTURES)} for a billion (and "
            f"eight shards that begin again, which have all ids of a table in a set, {size(HOST_GPUS * set_of_ids(PICTURES))})",
            "as for 24 GB; sets of the ids of the shard",
        ),
        (
            SPANS * PART_ROWS / len(TABLES),
            f"a process keeps what the footers of {SPANS:,} parts say, and begins anew if there are more: then a unit reads all again (of three "
            f"tables, from {millions(SPANS * PART_ROWS / 3)} on)",
            "larger parts; more of them kept",
        ),
    ]
    lines = [[f"{n:,.0f} GPU{'s' if n > 1 else ''}", what, then] for n, what, then in sorted(by_gpus, key=lambda row: row[0])]
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


# Seconds of a unit's forwards.
UNIT_SECONDS = PART_ROWS / GPU_RATE


def turn_full():
    """Pictures at which naming 64 workers' parts of two tables takes all of the store's one turn."""
    return solve(lambda n: 2 * RATE / PART_ROWS * (n / PART_ROWS / ENTRIES + NAMED) - 1)


def lists_last(times):
    """Pictures whose parts' names take as long to list so many times as a unit's forwards."""
    return solve(lambda n: times * n / PART_ROWS / LISTED * LATENCY - UNIT_SECONDS)


def folders_last():
    """Pictures whose parts' folders take as long to read on a file system as a unit's forwards."""
    return solve(lambda n: folders(n / PART_ROWS) - UNIT_SECONDS)


def footers_last(seconds):
    """GPUs of which the footers take as long as a unit's forwards."""
    return solve(lambda n: seconds(n) - UNIT_SECONDS)


def own(gpus):
    """The footers that a shard reads of the parts of `embeddings` that the others name while it computes one."""
    return EMBEDDINGS.look(gpus - 1).times(gpus - 1)


def gets_full():
    """GPUs whose parts' footers, read by all others, take all GETs of a prefix."""
    return solve(lambda n: n * n * GPU_RATE / PART_ROWS * EMBEDDINGS.look(n).requests - GETS)


def ends_in_turn():
    """GPUs from which on the ends of their shards take longer than the forwards, whatever the number of pictures."""
    return solve(lambda n: n * start(PICTURES) - PICTURES / (n * GPU_RATE))


def gpus_of(share, rows, row):
    return next(n for n in range(1, GPUS + 1) if committed(n, rows, row, 0).computing < share)


def solve(of):
    """Where an increasing function passes zero, by halving."""
    low, high = 0.0, 1e13
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if of(middle) > 0 else (middle, high)
    return high
