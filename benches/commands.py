"""Running commands that must succeed, and timing them. Standard library only."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(command, stderr=subprocess.PIPE, limit=None):
    """stdout of a command that must succeed; none where it was stopped after `limit` seconds."""
    try:
        return finished(command, stderr, limit).stdout
    except subprocess.TimeoutExpired:
        return None


def both(command):
    """stdout and stderr of a command that must succeed."""
    done = finished(command, subprocess.PIPE)
    return done.stdout, done.stderr


def finished(command, stderr, limit=None):
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT, timeout=limit)
    if done.returncode != 0:
        fail(command, done.stderr or "")
    return done


@dataclass
class Measured:
    """What a process took: seconds on the clock (none where it was stopped) and of processors, peak bytes, and what it said."""

    seconds: float | None
    processor: float
    # Everything that was mapped, cached pages of files too.
    resident: int
    # What it allocated; 0 where that was not looked at.
    anonymous: int
    said: str


def process(command, limit=None):
    """(seconds, peak resident bytes, stderr) of a command that must succeed; no seconds where it was stopped after `limit`."""
    found = measured(command, limit, None)
    return found.seconds, found.resident, found.said


def measured(command, limit=None, every=0.02):
    """What a command takes that must succeed, or is stopped after `limit` seconds. Its own memory is looked at `every` so many seconds."""
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        child = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=log, cwd=ROOT)
        stopped, ended, own = threading.Event(), threading.Event(), [0]
        timer = threading.Timer(limit or 0, lambda: (stopped.set(), child.kill()))
        watcher = threading.Thread(target=watch, args=(child.pid, every, ended, own))
        try:
            if limit:
                timer.start()
            if every:
                watcher.start()
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - began
            child.returncode = os.waitstatus_to_exitcode(status)
        finally:
            timer.cancel()
            ended.set()
            if child.returncode is None:
                child.kill()
            if every:
                watcher.join()
        log.seek(0)
        text = log.read().decode(errors="replace")
    if child.returncode != 0 and not stopped.is_set():
        fail(command, text)
    seconds = None if stopped.is_set() else seconds
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, max(own), text)


def watch(pid, every, ended, own):
    """Adds to `own` the bytes of a process's own memory, until it has ended."""
    while not ended.wait(every):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            return
        own.append(1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))))


def fail(command, said):
    sys.exit(f"error: {' '.join(map(str, command))}\n{said[-2000:]}")
