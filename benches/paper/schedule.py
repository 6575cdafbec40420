"""Workers that embed units of pictures, some slow, some dying: how long it takes, by a simulation of events.

Three ways to deal the units out: shards that are fixed in advance, a list that workers pull from, and such a list whose last units are computed
twice, by whoever has nothing else to do.
"""

import heapq
import random
from dataclasses import dataclass
from math import inf, log


@dataclass(frozen=True)
class Workers:
    """What is to be done, and by whom."""

    count: int
    units: int
    seconds: float  # of a unit, on a worker of ordinary speed
    spread: float  # how much a unit's time differs at most, as a share of it
    slow: float  # share of the workers that are slow
    slowness: float  # what their time is multiplied by
    failures: float  # a worker and second
    again: float  # seconds until a failed worker computes again
    noticed: float  # seconds until the list gives a failed worker's unit to another


@dataclass
class Outcome:
    """What came of it."""

    makespan: float  # seconds
    failures: int
    lost: float  # seconds of computing that nothing came of: units in flight at a failure
    twice: int  # units that were computed by two, of which one was thrown away
    idle: float  # share of the workers' time without work


def speeds(workers):
    """What each worker's time is multiplied by."""
    slow = round(workers.slow * workers.count)
    return [workers.slowness] * slow + [1.0] * (workers.count - slow)


def shards(workers, seed):
    """Each worker has an equal share, and what it has is done by it alone."""
    rng = random.Random(seed)
    ends, failures, lost, busy = [], 0, 0.0, 0.0
    for worker, speed in enumerate(speeds(workers)):
        left = workers.units * (worker + 1) // workers.count - workers.units * worker // workers.count
        now, dies = 0.0, failure(workers, rng)
        while left:
            took = unit(workers, speed, rng)
            if now + took > dies:
                lost += dies - now
                busy += dies - now
                failures += 1
                now = dies + workers.again
                dies = now + failure(workers, rng)
                continue
            now += took
            busy += took
            left -= 1
        ends.append(now)
    return outcome(workers, max(ends), failures, lost, 0, busy)


def pulled(workers, seed, speculative):
    """Workers take the next unit of a list; where `speculative`, one that finds the list empty computes the unit that has been under way for longest,
    unless two do so already."""
    rng = random.Random(seed)
    speed = speeds(workers)
    dies = [failure(workers, rng) for _ in range(workers.count)]
    waiting, done, failures, lost, twice, busy, now = list(range(workers.units)), 0, 0, 0.0, 0, 0.0, 0.0
    # Unit -> its workers and when each began; workers that found nothing to do.
    under_way, finished, idle = {}, set(), []
    events = [(0.0, worker, "free", -1) for worker in range(workers.count)]
    heapq.heapify(events)

    def begin(worker, number):
        if dies[worker] < now:  # It failed and came back while it had nothing to do.
            dies[worker] = now + failure(workers, rng)
        took = unit(workers, speed[worker], rng)
        under_way.setdefault(number, []).append((now, worker))
        event = (now + took, worker, "end", number) if now + took <= dies[worker] else (dies[worker], worker, "fail", number)
        heapq.heappush(events, event)

    def oldest():
        """The unit under way for longest that one worker alone has."""
        alone = [(began[0], number) for number, began in under_way.items() if len(began) == 1]
        return min(alone)[1] if alone else None

    def free(worker):
        number = waiting.pop() if waiting else oldest() if speculative else None
        if number is None:
            idle.append(worker)
        else:
            begin(worker, number)

    while done < workers.units:
        now, worker, what, number = heapq.heappop(events)
        if what == "free":
            free(worker)
            continue
        if what == "back":
            if number not in finished and number not in under_way:
                waiting.append(number)
                if idle:
                    free(idle.pop())
            continue
        began = next(began for began, who in under_way[number] if who == worker)
        busy += now - began
        under_way[number] = [pair for pair in under_way[number] if pair[1] != worker]
        if not under_way[number]:
            del under_way[number]
        if what == "fail":
            failures += 1
            lost += now - began
            dies[worker] = now + workers.again + failure(workers, rng)
            heapq.heappush(events, (now + workers.again, worker, "free", -1))
            heapq.heappush(events, (now + workers.noticed, worker, "back", number))
            continue
        if number in finished:
            twice += 1
        else:
            finished.add(number)
            done += 1
        free(worker)
    return outcome(workers, now, failures, lost, twice, busy)


def outcome(workers, makespan, failures, lost, twice, busy):
    return Outcome(makespan, failures, lost, twice, 1.0 - busy / (makespan * workers.count))


def unit(workers, speed, rng):
    return workers.seconds * speed * (1 + workers.spread * (2 * rng.random() - 1))


def failure(workers, rng):
    """Seconds until a worker fails."""
    return -log(1 - rng.random()) / workers.failures if workers.failures else inf
