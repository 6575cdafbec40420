"""What each process looks at in the store, and what that asks of a store of objects, where one request comes after another.

Of a part that another has named, a process reads the footer: its seal and schema as it first lists the part (src/store/lock.rs, `glance_at`), and the
first and last id (src/store/span.rs). Both are kept. It reads the ids of parts that may have some of its own. Units are ranges of ids that do not
overlap, and so are parts of shards and executors, so that none is read for another. Who has no range reads all ids.
"""

from dataclasses import dataclass
from math import ceil

from page import rows
from paper.numbers import *  # noqa: F403  (names in capitals, `parts` and `start`)
from paper.words import size, time


@dataclass(frozen=True)
class Asked:
    """Requests, one after another, and the bytes that come."""

    requests: float
    bytes: float

    def __add__(self, other):
        return Asked(self.requests + other.requests, self.bytes + other.bytes)

    def times(self, count):
        return Asked(self.requests * count, self.bytes * count)

    @property
    def seconds(self):
        """What they take, small as they are."""
        return self.requests * LATENCY


NOTHING = Asked(0, 0)


@dataclass(frozen=True)
class Part:
    """A part of a table, of so many rows of so many bytes."""

    table: str
    rows: int
    row: float

    @property
    def group_rows(self):
        return min(self.rows, max(1, GROUP_BYTES // int(self.row)))

    @property
    def groups(self):
        return ceil(self.rows / self.group_rows)

    @property
    def footer(self):
        return FOOTER[self.table] + FOOTER_GROUP[self.table] * self.groups

    @property
    def end(self):
        """Its footer: the last block, which is half full on average, and the one before as often as the footer begins there."""
        return Asked(1 + self.footer / BLOCK, BLOCK / 2 + self.footer)

    @property
    def glance(self):
        """What is read as it is first listed: its first block, for eight bytes, and its footer."""
        return Asked(1, BLOCK) + self.end

    def look(self, new):
        """What is read of it if it is one of so many new ones: the footer again, for its ids, unless all are few enough to be kept meanwhile."""
        return self.glance + (self.end if new > RANGED else NOTHING)

    @property
    def ids(self):
        """All ids of it: its footer, and of each row group the block in which its ids begin, then the others."""
        blocks = ceil(self.group_rows * ID_STORED / BLOCK)
        return self.end + Asked(min(blocks, 2), blocks * BLOCK).times(self.groups)


EMBEDDINGS, COMPOSITES = Part("embeddings", PART_ROWS, EMBEDDING), Part("composites", PART_ROWS, COMPOSITE)
TABLES = [EMBEDDINGS, COMPOSITES]


def pages(count):
    """Pages of a list of so many parts."""
    return max(1, ceil(count / LISTED))


def lists(each):
    """A unit's lists where each is of so many pages, pictures being at an address: all, and those that come one after another, since both tables'
    parts are named side by side."""
    before = [full + more for full, more in zip(FILLING, LACKING)]
    count = lambda namings: sum((first + namings * last) * size for first, last, size in zip(before, FINISHING, [each, 1]))
    return count(len(TABLES)), count(1)


def footers(gpus):
    """What an executor reads of the parts that the others name while it does a unit: one of each table by each."""
    new = gpus - 1
    return sum((part.look(new).times(new) for part in TABLES), NOTHING)


def ids_of(count):
    """The ids that footers spare it: what it would read of so many parts of each table."""
    return sum((part.ids.times(count) for part in TABLES), NOTHING)


def pictures(count=PART_ROWS):
    """Seconds until so many pictures are fetched, an object each: first a HEAD of each, then a GET, so many at once."""
    return count / AT_ONCE * (2 * LATENCY + PICTURE / REQUEST)


def driver(count):
    """What a cluster's driver reads when its executors are done with so many parts of each table: all ids, thrice (src/pipeline/on_cluster/drive.rs,
    `lacking`; its own `fill`; then those of composites to derive them, and of embeddings to find neighbours)."""
    return sum((part.glance.times(count) for part in TABLES), NOTHING) + ids_of(count).times(3)


def shard(count):
    """What a shard reads at its end: the ids of composites, then, in its turn, those of embeddings, to see whether any is missing."""
    return ids_of(count)


def fetched(count):
    """Seconds that so many bytes of whole parts take, one part after another."""
    return count / PIECE / PIECES * (LATENCY + PIECE / REQUEST)


def folders(count):
    """Seconds that a unit takes to read folders of so many parts on a file system, and to ask for their times."""
    return count * (READINGS / ENTRIES + STATINGS / STATED)


def looks():
    """What each process asks for: a unit of an executor, half of the parts being there, an executor in all, the driver, a shard."""
    half, units = parts() / 2, parts()
    listed, in_turn = lists(pages(half))
    new, others = footers(GPUS), len(TABLES) * (GPUS - 1)
    mine = units / GPUS
    once = sum((part.look(units).times(units) for part in TABLES), NOTHING)
    spared = ids_of(GPUS - 1)
    end, last = driver(units), shard(units)
    unit = in_turn * LATENCY + new.seconds + pictures()
    forwards = PART_ROWS / GPU_RATE
    gets = lambda count: f"{count / 1e6:,.1f} million GETs" if count >= 1e6 else f"{count:,.0f} GETs"
    long, short = (first + more + len(TABLES) * last for first, more, last in zip(FILLING, LACKING, FINISHING))
    lines = [
        [
            "each process, first",
            "the rows of `images`",
            f"{PICTURES:,}, {size(IMAGES * PICTURES)}",
            f"{time(start(PICTURES))} of a core at most",
            "–",
        ],
        [
            "a unit of an executor",
            "lists of folders, half of the parts being there",
            f"{long} of {pages(half)} pages, and {short} short ones",
            time(in_turn * LATENCY),
            f"{listed * PRICE_PUT:.3f}",
        ],
        [
            "",
            "footers of parts that others have named meanwhile",
            f"{others}: {gets(new.requests)}, {size(new.bytes)}",
            time(new.seconds),
            f"{new.requests * PRICE_GET:.4f}",
        ],
        ["", "ids", "of parts that have some of its own: none at first", "–", "–"],
        [
            "",
            "(what the ids of these parts would be)",
            f"({others * PART_ROWS:,}: {gets(spared.requests)}, {size(spared.bytes)})",
            f"({time(spared.seconds)})",
            "–",
        ],
        [
            "",
            "pictures at an address, an object each",
            f"{PART_ROWS:,} HEADs, as many GETs, {size(PART_ROWS * PICTURE)}",
            f"{time(pictures())}, {AT_ONCE} at once",
            f"{2 * PART_ROWS * PRICE_GET:.4f}",
        ],
        ["", "its forwards", f"{PART_ROWS:,}", time(forwards), "–"],
        [
            f"an executor, {mine:,.0f} units",
            "lists",
            f"{mine * listed / 1e6:,.1f} million pages",
            time(mine * in_turn * LATENCY),
            f"{mine * listed * PRICE_PUT:,.0f}",
        ],
        [
            "",
            "footers, each once",
            f"{len(TABLES) * units:,}: {gets(once.requests)}, {' and '.join(f'{part.look(units).requests:.1f}' for part in TABLES)} a part, "
            f"{size(once.bytes)}",
            time(once.seconds),
            f"{once.requests * PRICE_GET:.2f}",
        ],
        ["", "all that comes before and after its forwards, but for puts", "", time(mine * unit), "–"],
        [
            f"{GPUS} executors",
            "lists; footers",
            f"{GPUS * mine * listed / 1e6:,.0f} million pages; {gets(GPUS * once.requests)}, {size(GPUS * once.bytes)}",
            "side by side",
            f"{GPUS * (mine * listed * PRICE_PUT + once.requests * PRICE_GET):,.0f}",
        ],
        [
            "the driver, at the end",
            "ids of both tables, thrice",
            f"{3 * len(TABLES) * PICTURES:,}: {gets(end.requests)}, {size(end.bytes)}",
            f"{time(end.seconds)}; {time(end.seconds / AT_ONCE)} if {AT_ONCE} at once",
            f"{end.requests * PRICE_GET:.2f}",
        ],
        [
            "",
            "whole parts of `embeddings`, compared with their seals before neighbours are found",
            size(EMBEDDING * PICTURES),
            f"{time(fetched(EMBEDDING * PICTURES))}, {PIECES} pieces at once",
            f"{EMBEDDING * PICTURES / PIECE * PRICE_GET:.2f}",
        ],
        [
            "a shard, at its end",
            "ids of both tables",
            f"{len(TABLES) * PICTURES:,}: {gets(last.requests)}, {size(last.bytes)}",
            time(last.seconds),
            f"{last.requests * PRICE_GET:.2f}",
        ],
        [
            "on a file system, a unit",
            f"folders, {READINGS} times, and the times of files, {STATINGS} times, half of the parts being there",
            f"{READINGS * half:,.0f} entries, {STATINGS * half:,.0f} files",
            f"{time(folders(half))} of a core",
            "–",
        ],
        ["an executor there", "the same", f"{mine:,.0f} units", time(mine * folders(half)), "–"],
    ]
    return rows(["who", "looks at", "how many", "takes", "$:"], lines)
