"""What tables weigh, what steps cost, and what goes into that."""

from math import ceil

from page import rows
from paper.looks import COMPOSITES, EMBEDDINGS, looks
from paper.numbers import *  # noqa: F403  (names in capitals, `parts` and `start`)
from paper.words import size, time


def goes_in():
    """What is assumed, measured and published."""
    return rows(
        ["what", "value:", "from"],
        [
            [
                "forwards of a picture: itself and 8 crops",
                f"{(1 + CROPS) * GFLOP} GFLOP",
                "35 GFLOP each (17.6 G multiply-adds), [speed](../benches/README.md)",
            ],
            [
                "**a GPU**: pictures/s",
                f"{GPU_RATE:,.0f}",
                f"**assumed**: {TFLOPS} TFLOP/s, as one H200 reached with L/14; whole runs of nine seconds had {WHOLE_PROCESS:,.0f}, which makes "
                f"hours {GPU_RATE / WHOLE_PROCESS:.1f} times as many",
            ],
            ["64 GPUs: pictures/s; all pictures", f"{RATE:,.0f}; {PICTURES / RATE / HOUR:.1f} h", "nothing but forwards"],
            [
                "one core: ingest; products; a pass",
                f"{INGEST_CORE:.0f} pictures/s; {CORE_FLOPS / 1e9:.0f} GFLOP/s; {PASS_ROWS:,.0f} pictures/s",
                "measured: [GPU](../benches/README.md#on-a-gpu), [scale](scale.md)",
            ],
            [
                "what a process knows of each picture",
                f"{MEMORY_A_PICTURE / KB:.1f} kB",
                "measured: from 100,000 to 1.28 million, two passes, [scale](scale.md)",
            ],
            ["a process that looks what is there", f"{round(KNOWN, -3):,.0f} pictures/s", "measured for this page: `run --dry-run` at 1.28 million"],
            [
                "a folder's entry: read and sorted; its times asked for; a name given and synced",
                f"{1e6 / ENTRIES:.1f} µs; {1e6 / STATED:.1f} µs; {NAMED * 1000:.0f} ms",
                "measured for this page, ext4",
            ],
            [
                "a footer of `embeddings`, of `composites`; an id in its column",
                f"{EMBEDDINGS.footer:,} bytes of {EMBEDDINGS.groups} row groups, {COMPOSITES.footer:,} of {COMPOSITES.groups}; {ID_STORED} bytes",
                f"measured for this page, of parts of one group: {FOOTER_GROUP['embeddings']} and {FOOTER_GROUP['composites']} bytes a group; "
                "**assumed**: a part's last block of 64 KiB is half full",
            ],
            [
                "an executor on objects: of a part that another named; a unit",
                f"{COUNTED_GETS} GETs, once; {COUNTED_LISTS[0]} lists of the two tables' folders, {COUNTED_LISTS[1]} of empty ones, no HEAD, no ids",
                "counted for this page on the stand-in, by `embed --cluster` on pictures in a folder",
            ],
            [
                "a row of `images` that an executor has read",
                f"{ROW_KNOWN} bytes",
                "the sizes of its fields, with a path of 64 letters: **assumed**",
            ],
            [
                f"a stand-in for S3: {', '.join(STAND_IN)}",
                f"{', '.join(map(str, STAND_IN.values()))} a second",
                "measured for this page (moto, this machine, one connection); not used: real stores are farther away, and wider",
            ],
            [
                "a host",
                f"{HOST_GPUS} GPUs, {HOST_CORES} cores, {size(HOST_MEMORY)}, {size(HOST_DISK)} of disk, {HOST_NETWORK * 8 / GB:.0f} Gbit/s",
                "assumed: 16 cores a GPU, as measured",
            ],
            ["a picture's file", size(PICTURE), "assumed: ImageNet's mean"],
            [
                "objects: first byte; one request; a prefix; a page of names; the largest put",
                f"{LATENCY * 1000:.0f} ms; {REQUEST / MB:.0f} MB/s; {PUTS:,} puts, {GETS:,} gets/s; {LISTED:,}; {size(LARGEST_PUT)}",
                f"published: [rates]({AMAZON}), [one request]({REQUESTS}), [prices](https://aws.amazon.com/s3/pricing/)",
            ],
            [
                "failures of a GPU",
                f"one in {1 / HARDWARE / YEAR:.1f} years: in one of {1 / (HARDWARE * PICTURES / GPU_RATE):.0f} such runs",
                "published: 419 of 16,384 GPUs in 54 days ([Llama 3](https://arxiv.org/abs/2407.21783))",
            ],
            ["the same, of spot machines", "one in 10 h", "assumed, and harsh: a tenth of them each hour"],
            [
                "units' times; slow workers; a unit is given to another after",
                f"± {SPREAD:.0%}; {round(SLOW * GPUS)} of {GPUS} take {SLOWNESS:.0f} times as long; {time(NOTICED)}",
                "assumed",
            ],
        ],
    )


def weighs():
    """What each table weighs."""
    known = [
        [
            "`embeddings`",
            EMBEDDING,
            f"{parts():,} of {PART_ROWS:,}",
            f"patch tokens are {TOKENS / EMBEDDING:.1%} of it: {PATCHES} x {WIDTH} in f16, always",
        ],
        ["`composites`", COMPOSITE, f"{parts():,}", "always; read by every prior"],
        ["`prior_logits`, 1,000 classes", LOGITS, "1", "once for all seeds"],
        ["`fusion_logits`, a pass", LOGITS, "1 a pass", "`adapt.keep`: below"],
        ["`neighbours`, 10", NEIGHBOURS, "1", "once a set of pictures"],
        ["`images`", IMAGES, "1", f"always; {size(PICTURE)} a picture more where pictures are copied (`dataset.copy`)"],
        ["`predictions`", PREDICTIONS, "1", "always"],
        ["`pseudo_labels`, a pass", PSEUDO_LABELS, "1 a pass", "always"],
    ]
    lines = [[name, f"{row:,.0f}", size(row * PICTURES), count, f"{month(row * PICTURES):,.0f}", kept] for name, row, count, kept in known]
    rest = EMBEDDING - TOKENS + COMPOSITE + 2 * LOGITS + NEIGHBOURS + IMAGES + PREDICTIONS + PASSES * PSEUDO_LABELS
    for name, row in [('**all**, `adapt.keep = "last"`', rest + TOKENS), ("**all without tokens**", rest)]:
        lines.append([name, f"{row:,.0f}", size(row * PICTURES), "", f"{month(row * PICTURES):,.0f}", ""])
    return rows(["table", "bytes a picture:", "of all:", "parts:", "$ a month:", "kept"], lines)


def keeps():
    """What `adapt.keep` leaves of 15 passes."""
    whole = LOGITS * PICTURES
    lines = [["`all`", size(PASSES * whole), size(PASSES * whole)], ["`last`", size(whole), size(2 * whole)]]
    for name, row in [("`top:32`", 179), ("`top:8`", 70)]:
        lines.append([name, size(PASSES * row * PICTURES), size(2 * whole + (PASSES - 2) * row * PICTURES)])
    return rows(["`adapt.keep`", "of 15 passes stay:", "at most, meanwhile:"], lines)


def costs():
    """What each process looks at; and what it costs to list, to ask, to deal out work and to shuffle."""
    count, ids = parts(), EMBEDDINGS.ids.times(parts())
    units = ceil(PICTURES / LARGER_PART)
    pages = ceil(count / LISTED)
    heap = GPUS * CLASSES * 16 * 80
    other = rows(
        ["what", "how many", "takes", "$:"],
        [
            ["a list of all parts of a table", f"{pages:,} pages in turn", time(pages * LATENCY), f"{pages * PRICE_PUT:.3f}"],
            [
                "ids of all parts of `embeddings`, once",
                f"{ids.requests / 1e6:.1f} million GETs: {EMBEDDINGS.ids.requests:.1f} a part, one for each row group of 32 MB",
                f"{time(ids.seconds)} in turn; {time(ids.requests / GETS)} at {GETS:,}/s; {time(PICTURES / KNOWN)} of a core on a file system, "
                "other rows included",
                f"{ids.requests * PRICE_GET:.0f}",
            ],
            [
                "putting all parts of `embeddings`",
                f"{count:,} of {size(PART_ROWS * EMBEDDING)}",
                f"{RATE * EMBEDDING / GB:.0f} GB/s of 64 GPUs",
                f"{count * PRICE_PUT:.2f}",
            ],
            [
                "names alone in turn, by puts of a small object",
                f"{1 / LATENCY:.0f} a second",
                f"{GPUS} GPUs make {RATE / PART_ROWS:.0f} parts of {PART_ROWS:,} a second, or {RATE / LARGEST_PART:.1f} of {LARGEST_PART:,}",
                f"{count * PRICE_PUT:.2f}",
            ],
            [f"a work list of ranges of ids, {LARGER_PART:,} pictures each", f"{units:,} lines, {size(units * 100)}", "a second", "0.00"],
            [
                "the units of a cluster, as many as parts",
                f"{count:,}, {size(count * UNIT)}",
                f"{ceil(count / UNITS_A_JOB)} jobs of {UNITS_A_JOB:,} units, one after another",
                "–",
            ],
            ["a work list that names each picture and its place", f"{PICTURES:,} lines", f"{size(PICTURES * 100)}: a table, not a message", "–"],
            [
                "the scheduler: units, leases, 64 workers",
                f"{size(units * 200)}; {RATE / LARGER_PART:.0f} units/s",
                "a lease by a put that must be new: half as many again",
                f"{units * PRICE_PUT:.2f}",
            ],
            [
                "a shuffle of both tables of logits by id (a plain join)",
                size(2 * LOGITS * PICTURES),
                f"{time(2 * LOGITS * PICTURES / (HOSTS * HOST_NETWORK))} of network",
                "–",
            ],
            ["none, where both are cut by ranges of ids: a pass's statement", "0", "–", "–"],
            ["`top_k_per_class`, `revive`: the best of 64 ranges meet", size(heap), f"{time(heap / HOST_NETWORK)}", "–"],
            [
                "a question: labels that changed; top-1 by class, a join",
                f"{PICTURES:,} rows",
                f"{time(PICTURES / CHANGED)}; {time(PICTURES / JOIN)} on two cores, {size(JOIN_A_ROW * PICTURES)} for the join",
                "–",
            ],
            ["`balanced`: sums over pictures, each round", size(GPUS * CLASSES * 8), "a message", "–"],
        ],
    )
    return f"{looks()}\n\n{other}"


def passes():
    """What a pass over all pictures costs on one machine."""
    sample = 50 * CLASSES
    return rows(
        ["of a pass over all pictures, on one host", "bytes", "takes"],
        [
            [
                "reading tokens: for `fusion_logits`, and again for the steps",
                size(2 * TOKENS * PICTURES),
                f"{time(2 * TOKENS * PICTURES / HOST_NETWORK)} at {HOST_NETWORK * 8 / GB:.0f} Gbit/s",
            ],
            [
                "steps of `head` on one GPU, batches of 16 (of 64)",
                "–",
                f"{time(PICTURES / 16 * HEAD_STEP_16)} ({time(PICTURES / 64 * HEAD_STEP_64)})",
            ],
            [
                f"both, {PASSES} times",
                size(PASSES * 2 * TOKENS * PICTURES),
                f"{time(PASSES * PICTURES / 16 * HEAD_STEP_16)} of one GPU",
            ],
            [
                "logits written, both tables read, the statement",
                size(3 * LOGITS * PICTURES),
                f"{time(PICTURES / PASS_ROWS / HOST_CORES)} on {HOST_CORES} cores",
            ],
            [
                "evaluation and propagation, once",
                size(2 * LOGITS * PICTURES),
                f"{time(PICTURES / EVALUATION_ROWS / HOST_CORES)} on {HOST_CORES} cores",
            ],
            [
                "the same of 100,000 pictures that are drawn by their ids",
                "–",
                f"{time(EVALUATION_OF_100_000)} on two cores, measured; accuracy ± 0.3 points",
            ],
            [f"all 15 passes over {sample:,} pictures, 50 of a class", size(sample * TOKENS), time(PASSES * sample / 16 * HEAD_STEP_16)],
        ],
    )


def month(size):
    """Dollars a month that so many bytes cost."""
    left, dollars = size, 0.0
    for most, price in PRICES_STORED:
        dollars += min(left, most) * price
        left -= min(left, most)
    return dollars
