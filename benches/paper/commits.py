"""Writers that name their parts in turn: how many commits go through, by a simulation of events.

The rule is that of a store of objects, where a part's name is its claim (src/store/once.rs, `finish`): a writer lists the folder and reads the
footers of parts that it has not seen, does so again, lists what was set aside, and puts its part under the next number if nobody has that number
(`If-None-Match: *`). Of those that try a number, the one whose put ends first has it; each of the others asks what has it, waits a moment, lists the
folder again and tries the number after those it finds, with all of its bytes again. A writer asks one thing after another.
"""

import heapq
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Objects:
    """A store of objects, as one worker sees it."""

    latency: float  # seconds until the first byte of an answer
    bandwidth: float  # bytes a second of one request
    pages: int = 1  # of a list of the folder
    first: float = 0.0  # requests that read a footer
    again: float = 0.0  # more of them where there are more new footers than are kept
    kept: int = 0

    def put(self, size):
        return self.latency + size / self.bandwidth

    def list(self):
        return self.latency * self.pages

    def look(self, new):
        """Reads the footers of so many parts."""
        return self.latency * new * (self.first + (self.again if new > self.kept else 0.0))


# Seconds that a writer waits on average, the more often its number was taken, up to the most (src/store/replica/leases.rs, `pause`).
PAUSE, LONGER = 0.255 / 2 / 8, 8


@dataclass
class Found:
    """What became of the writers' time and bytes."""

    commits: int
    seconds: float
    puts: int
    computing: float  # share of the workers' time


def simulate(writers, seconds_a_part, size, objects, commits, spread, seed):
    """Lets so many writers name parts of `size` bytes in one partition until there are so many `commits`. A part takes `seconds_a_part` to compute,
    give or take that share of it, `spread`. Nothing is computed by a worker while it commits."""
    rng = random.Random(seed)
    made = lambda: seconds_a_part * (1 + spread * (2 * rng.random() - 1))
    # The first parts are ready at any time within one part's.
    events = [(rng.random() * seconds_a_part, writer, "whole") for writer in range(writers)]
    heapq.heapify(events)
    named, seen, taken, puts, computed, now = 0, [0] * writers, [0] * writers, 0, 0.0, 0.0

    def look(writer):
        """Seconds that the footers take of parts that the list has which has just ended."""
        new, seen[writer] = named - seen[writer], named
        return objects.look(new)

    while named < commits:
        now, writer, what = heapq.heappop(events)
        if what == "whole":
            heapq.heappush(events, (now + objects.list(), writer, "listed"))
        elif what == "listed":
            heapq.heappush(events, (now + look(writer) + objects.list(), writer, "listed again"))
        elif what == "listed again":
            heapq.heappush(events, (now + look(writer) + objects.latency, writer, "put"))
        elif what == "put":
            puts += 1
            heapq.heappush(events, (now + objects.put(size), writer, "answer"))
        elif seen[writer] < named:  # The number is another's by now.
            waits = PAUSE * (min(taken[writer], LONGER) + 1) * 2 * rng.random()
            taken[writer] += 1
            heapq.heappush(events, (now + objects.latency + waits + objects.list(), writer, "listed again"))
        else:
            named += 1
            seen[writer], taken[writer] = named, 0
            computed += seconds_a_part
            heapq.heappush(events, (now + made(), writer, "whole"))
    return Found(named, now, puts, computed / (writers * now))


def alone(seconds_a_part, size, objects, beside):
    """The share of its time that a worker computes which names its parts alone, in a partition of its own, whose folder it lists. Where `beside`,
    parts are put while the next ones are computed, as many at once as it takes."""
    return 1.0 if beside else seconds_a_part / (seconds_a_part + 2 * objects.list() + objects.latency + objects.put(size))
