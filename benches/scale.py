#!/usr/bin/env python3
"""Measures every step from the prior on at growing numbers of pictures, on made features: time, processor, memory, disk.

    scale.py FOLDER [--sizes 10000 100000] [--set dka.gamma=0.5] [--binary microclip-pipe] [--inside speed]
    scale.py FOLDER --docs docs/scale.md      # writes what was measured into the page's table, and the plots beside it

Each step is a whole process on a store that has what comes before it; a policy starts from a copy of the store, by links, which is removed
afterwards. Stores of made features (made.py) are made in FOLDER and removed, and what was measured is kept there, in scale.json: sizes may be
measured one by one. Standard library only, but for what made.py needs.
"""

import argparse
import json
import shutil
from pathlib import Path

import build
import page
import plot
from commands import measured, run
from made import made
from program import copy, settings
from questions import QUESTIONS

SIZES = [10_000, 30_000, 100_000, 300_000, 1_281_167]
POLICIES = ["argmax", "confident", "agreement", "balanced", "top_k_per_class", "revive"]
# Passes of the run that is evaluated, reported and asked about, and of a policy's.
PASSES, FEW = 2, 1
ADAPT = "two passes of `head`"


class Scale:
    """Measures one size."""

    def __init__(self, folder, count, classes, binary, inside, sets):
        self.count, self.classes, self.binary, self.inside, self.sets = count, classes, binary, inside, sets
        self.folder = folder / f"made-{count}"
        self.steps, self.passes, self.tables = {}, {}, {}

    def measure(self):
        self.file = made(self.folder, self.count, self.classes, self.binary, self.inside, lambda command: self.step("ingest", command))
        store = self.folder / "store"
        self.step("neighbours", self.ours("embed", store))
        one = self.folder / "one"
        for name, policy in {"no training": None, **{f"a pass, `{policy}`": policy for policy in POLICIES}}.items():
            copy(store, one)
            if policy:
                self.adapt(name, one, FEW, dka__policy=policy)
            else:
                self.step(name, self.ours("run", one, *settings(adapt__tune="none")))
            shutil.rmtree(one)
        self.adapt(ADAPT, store, PASSES)
        two = settings(adapt__epochs=PASSES)
        self.step("evaluation", self.ours("evaluate", store, *two))
        page = self.folder / "report.html"
        self.step("report", [self.binary, "report", self.file, "--store", store, "--output", page])
        self.tables["page of the report"] = page.stat().st_size
        for name, question in QUESTIONS.items():
            self.step(f"SQL, {name}", [self.binary, "sql", self.file, question, "--store", store, "--format", "csv"])
        for table in sorted(path for path in store.iterdir() if path.is_dir()):
            self.tables[table.name] = sum(part.stat().st_size for part in table.rglob("*") if part.is_file())
        shutil.rmtree(self.folder)
        return {"steps": self.steps, "passes": self.passes, "tables": self.tables}

    def ours(self, verb, store, *sets):
        return [self.binary, verb, self.file, "--store", store, *sets, *self.sets]

    def adapt(self, name, store, passes, **keys):
        """A step of so many passes, each of which says how long it took."""
        self.step(name, self.ours("adapt", store, *settings(adapt__epochs=passes, **keys)))
        asked = "SELECT seconds FROM passes ORDER BY pass"
        said = run([self.binary, "sql", self.file, asked, "--store", store, "--format", "csv", *self.sets])
        self.passes[name] = [float(seconds) for seconds in said.split()[1:]]

    def step(self, name, command):
        found = measured(command)
        self.steps[name] = {key: getattr(found, key) for key in ["seconds", "processor", "resident", "anonymous"]}
        print(f"{self.count:>9,}  {name:28} {found.seconds:8.2f} s  {found.processor:8.2f} s of processor  "
              f"{found.resident / 1e6:7.0f} MB, {found.anonymous / 1e6:7.0f} MB its own", flush=True)  # fmt: skip


def table(found):
    """The Markdown of what was measured: `found` by size."""
    sizes = sorted(found)
    least, most = sizes[0], sizes[-1]
    lines = [f"| step | {' | '.join(f'{size:,}' for size in sizes)} | a picture at the largest / at {least:,} | peak: resident, its own |"]
    lines.append("|---|" + "---:|" * (len(sizes) + 2))
    # A step that takes hours at the largest size may have been measured up to another one alone.
    names = {name: None for size in reversed(sizes) for name in found[size]["steps"]}
    order = list(found[least]["steps"])
    for name in sorted(names, key=lambda name: order.index(name) if name in order else len(order)):
        each = {size: found[size]["steps"][name] for size in sizes if name in found[size]["steps"]}
        times = [f"{short(each[size]['seconds'])} ({short(each[size]['processor'])}) s" if size in each else "–" for size in sizes]
        (few, first), (many, last) = next(iter(each.items())), list(each.items())[-1]
        ratio = lambda of: f"{last[of] / many / (first[of] / few):.2f}" if many > few else "–"
        memory = f"{last['resident'] / 1e6:,.0f}, {last['anonymous'] / 1e6:,.0f} MB"
        lines.append(f"| {name} | {' | '.join(times)} | {ratio('seconds')} ({ratio('processor')}) | {memory} |")
    lines += ["", f"| table | bytes a picture at {most:,} | in all |", "|---|---:|---:|"]
    for name, size in sorted(found[most]["tables"].items(), key=lambda pair: -pair[1]):
        if size > most:
            lines.append(f"| `{name}` | {size / most:,.0f} | {size / 1e6:,.0f} MB |")
    return "\n".join(lines)


def short(seconds):
    return f"{seconds:.{0 if seconds >= 100 else 1}f}"


# The steps that are drawn, by what the plot calls them.
DRAWN = {"ingest": "ingest", "no training": "no training", ADAPT: "two passes", "evaluation": "evaluation", "report": "report", "SQL, confusion": "SQL"}


def write(file, found):
    """Puts the table between the page's marks, and the plots beside it."""
    file.write_text(page.between(file.read_text(), "measured", table(found)))
    drawn = {name: [(size, one["steps"][step]) for size, one in sorted(found.items()) if step in one["steps"]] for step, name in DRAWN.items()}
    seconds = {name: [(size, one["seconds"]) for size, one in line] for name, line in drawn.items() if line}
    memory = {name: [(size, one["anonymous"] / 1e6) for size, one in line] for name, line in drawn.items() if line}
    file.with_name("scale-time.svg").write_text(plot.svg(seconds))
    file.with_name("scale-memory.svg").write_text(plot.svg(memory, "MB", straight=False))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, metavar="N")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every run")
    parser.add_argument("--binary", type=Path, help="this microclip-pipe; otherwise one is built")
    parser.add_argument("--inside", type=Path, help="this executable of benches/speed.rs; otherwise one is built")
    parser.add_argument("--docs", type=Path, help="a page whose table is written; nothing is measured")
    options = parser.parse_args()
    kept = options.folder.resolve() / "scale.json"
    if options.docs:
        return write(options.docs, {int(size): one for size, one in json.loads(kept.read_text()).items()})
    binary, inside = (options.binary or build.binary()).resolve(), (options.inside or build.inside()).resolve()
    sets = [word for one in options.set for word in ("--set", one)]
    for count in options.sizes:
        measure(options.folder.resolve(), count, options.classes, binary, inside, sets)


def measure(folder, count, classes, binary, inside, sets=()):
    """Measures a size, and keeps it beside the others in `folder`."""
    found = Scale(folder, count, classes, binary, inside, sets).measure()
    kept = folder / "scale.json"
    all_sizes = json.loads(kept.read_text()) if kept.is_file() else {}
    all_sizes[str(count)] = found
    kept.write_text(json.dumps(all_sizes, indent=1))
    return found


if __name__ == "__main__":
    main()
