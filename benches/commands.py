"""Running commands that must succeed, and timing them. Standard library only."""

import os
import subprocess
import sys
import tempfile
import threading
import time
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


def process(command, limit=None):
    """(seconds, peak resident bytes, stderr) of a command that must succeed; no seconds where it was stopped after `limit`."""
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        child = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=log, cwd=ROOT)
        stopped = threading.Event()
        timer = threading.Timer(limit or 0, lambda: (stopped.set(), child.kill()))
        try:
            if limit:
                timer.start()
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - began
            child.returncode = os.waitstatus_to_exitcode(status)
        finally:
            timer.cancel()
            if child.returncode is None:
                child.kill()
        log.seek(0)
        text = log.read().decode(errors="replace")
    if child.returncode != 0 and not stopped.is_set():
        fail(command, text)
    return (None if stopped.is_set() else seconds), usage.ru_maxrss * 1024, text


def fail(command, said):
    sys.exit(f"error: {' '.join(map(str, command))}\n{said[-2000:]}")
