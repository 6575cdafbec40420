"""Writers that name their parts in turn: how many commits go through, by a simulation of events.

The rule is that of a store of objects, where a part's name is its claim: a writer lists what was named since it last looked, reads the ids of
those parts, and puts its own under the next number if nobody has that number (`If-None-Match: *`). Of those that try a number, the one whose
put ends first has it; each of the others reads the ids of the part that has it and tries the next number, with all of its bytes again.
"""

import heapq
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Objects:
    """A store of objects, as one worker sees it."""

    latency: float  # seconds until the first byte of an answer
    bandwidth: float  # bytes a second of one request
    at_once: int  # requests under way
    read_ids: bool = True  # whether a writer reads the ids of parts of others

    def put(self, size):
        return self.latency + size / self.bandwidth

    def look(self, parts, requests):
        """Reads the ids of so many parts, each by so many requests."""
        return self.latency * -(-parts * requests // self.at_once) if self.read_ids else 0.0


@dataclass
class Found:
    """What became of the writers' time and bytes."""

    commits: int
    seconds: float
    puts: int
    computing: float  # share of the workers' time


def simulate(writers, seconds_a_part, size, requests, objects, commits, spread, seed):
    """Lets so many writers name parts of `size` bytes in one partition until there are so many `commits`. A part takes `seconds_a_part` to compute,
    give or take that share of it, `spread`; the ids of one are read by so many `requests`. Nothing is computed by a worker while it commits."""
    rng = random.Random(seed)
    made = lambda: seconds_a_part * (1 + spread * (2 * rng.random() - 1))
    # The first parts are ready at any time within one part's.
    events = [(rng.random() * seconds_a_part, writer, "list") for writer in range(writers)]
    heapq.heapify(events)
    named, seen, puts, computed, now = 0, [0] * writers, 0, 0.0, 0.0
    while named < commits:
        now, writer, what = heapq.heappop(events)
        if what == "list":
            others = named - seen[writer]
            seen[writer] = named
            heapq.heappush(events, (now + objects.latency + objects.look(others, requests), writer, "put"))
        elif what == "put":
            puts += 1
            heapq.heappush(events, (now + objects.put(size), writer, "answer"))
        elif seen[writer] < named:  # The number is another's by now.
            seen[writer] += 1
            heapq.heappush(events, (now + objects.look(1, requests), writer, "put"))
        else:
            named += 1
            seen[writer] = named
            computed += seconds_a_part
            heapq.heappush(events, (now + made(), writer, "list"))
    return Found(named, now, puts, computed / (writers * now))


def alone(seconds_a_part, size, objects, beside):
    """The share of its time that a worker computes which names its parts alone, in a partition of its own or by content. Where `beside`, parts are
    put while the next ones are computed, as many at once as it takes."""
    return 1.0 if beside else seconds_a_part / (seconds_a_part + objects.latency + objects.put(size))
