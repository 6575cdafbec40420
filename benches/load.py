"""Other work on the same machine, and what a program loses beside it. Standard library only."""

import contextlib
import os
import statistics
import subprocess
import sys

# Ends by itself once the process that started it is gone, even where that was killed. Prints a line when it runs.
LOOP = """
import os, sys
print(flush=True)
while os.getppid() == int(sys.argv[1]):
    for _ in range(100_000):
        pass
"""
# A program that takes as many times its fair share is stopped: it is known to fail by then.
LIMIT = 10


@contextlib.contextmanager
def busy_loops(count):
    """As many busy processes, as nice as ourselves and pinned to no core, until the block is left."""
    command = [sys.executable, "-c", LOOP, str(os.getpid())]
    loops = []
    try:
        for _ in range(count):
            loops.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE))
        for loop in loops:
            loop.stdout.readline()
        yield
        if any(loop.poll() is not None for loop in loops):
            sys.exit("error: a busy loop has ended before what was measured beside it; run the row again")
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()
            loop.stdout.close()


def fair_share(cores, threads):
    """How many times as long a program of so many threads takes beside a busy loop a core, where all get equal time.

    It is two for one thread a core: half of every core.
    """
    alone = min(cores, threads)
    beside = cores * threads / (cores + threads)
    return alone / beside


class Slowdown:
    """Seconds of one program with the machine to itself and beside other work, in turns."""

    def __init__(self, share):
        """`share`: how many times as long it may take for its share to be fair."""
        self.share, self.alone, self.beside, self.stopped = share, [], [], False

    def turn(self, seconds, other_work, beside=None):
        """Measures once without `other_work` and once in it.

        `seconds(limit)` gives how long the program took, or none where it was stopped at the limit; `beside` is called in its
        place in `other_work`, if given. Once it was stopped, it is only measured alone.
        """
        self.alone.append(seconds(None))
        if self.stopped:
            return
        limit = LIMIT * self.share * self.alone[-1]
        with other_work:
            found = (beside or seconds)(limit)
        self.stopped = found is None
        self.beside.append(limit if found is None else found)

    @property
    def ratio(self):
        """Fair share / measured: 1 where nothing is lost but what the other work takes."""
        return self.share * statistics.median(self.alone) / statistics.median(self.beside)

    def __str__(self):
        alone, beside = statistics.median(self.alone), statistics.median(self.beside)
        return f"{alone:.1f} s alone, {beside:.1f} s beside{', then stopped' if self.stopped else ''}"
