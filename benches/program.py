"""The verbs that compute, as whole processes: each on a store that has what comes before it. Standard library only."""

import os
import shutil

from commands import process


def settings(**keys):
    return [word for key, value in keys.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


# Each verb with the one that has to be done before it, and its words but for the files. `adapt` goes by what it tunes.
VERBS = {
    "embed": (None, ["embed", "--without-views"]),
    "views": ("embed", ["embed"]),
    # As many steps as the embedded pipeline has.
    "head": ("views", ["adapt", *settings(adapt__tune="head", adapt__epochs=13, adapt__batch=16)]),
    "layernorm": ("views", ["adapt", *settings(adapt__tune="layernorm", adapt__epochs=1)]),
    # Steps too short to change a weight: what differs afterwards does so for another reason than training.
    "untrained": ("views", ["adapt", *settings(adapt__tune="head", adapt__epochs=1, adapt__lr=1e-30, adapt__min_lr=0)]),
    "predict": ("head", ["predict"]),
}


class Program:
    """A binary over one pipeline, with stores of its own."""

    def __init__(self, binary, file, pictures, folder, threads=None):
        """`file` is the pipeline over `pictures`; stores are made in `folder`, which is emptied. No `threads`: one per core."""
        self.binary, self.file, self.pictures, self.folder, self.threads = binary, file, pictures, folder, threads
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.done = set()

    def seconds(self, verb, limit=None):
        """How long a verb takes; none where it was stopped after `limit` seconds. What goes before it is not counted."""
        return process(self.ready(verb), limit)[0]

    def ready(self, verb, name="work"):
        """The command of a verb on a store of this name, which is as the verb before has left it."""
        before, store = VERBS[verb][0], self.folder / name
        shutil.rmtree(store, ignore_errors=True)
        if before:
            copy(self.after(before), store)
        return self.command(verb, store)

    def after(self, verb):
        """The store that a verb leaves; made at the first call."""
        if verb not in self.done:
            process(self.ready(verb, verb))
            self.done.add(verb)
        return self.folder / verb

    def command(self, verb, store):
        words = [self.binary, *VERBS[verb][1], self.file, "--store", store]
        if verb == "predict":
            # It takes the number of threads that its run was made with.
            return words + [self.pictures, "--format", "csv", "--output", self.answers(store)]
        return words + (["--threads", str(self.threads)] if self.threads else [])

    def answers(self, store):
        """Where `predict` writes what it answers."""
        return store.with_suffix(".csv")


def copy(store, to):
    """A copy of a store. Parts do not change once they are written, so that both may have the same file."""
    link = lambda part, other: os.link(part, other) if part.endswith(".parquet") else shutil.copy2(part, other)
    shutil.copytree(store, to, copy_function=link)
