#!/usr/bin/env python3
"""Measures the speed of microclip-pipe against its goals and against its peers, which take turns on the same machine.

    make bench                        everything, an hour and a half
    make bench BENCH='--quick'        smaller inputs and one turn each: does it work?
    make bench BENCH='--rows sql decode'
    make bench BENCH='--rows growth --plot docs/growth.svg'
    make bench BENCH='--rows busy several --against old/microclip-pipe'

Standard library only; the peers run in an environment that is made from PyPI once (benches/environment.py). Inputs are made once, in
target/bench. Times are medians over turns; whole processes are timed from outside, from start to exit. A machine that does other work
meanwhile gives figures of that machine.
"""

import argparse
import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import signal
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import build
import environment
import load
import plot
import scale
from commands import ROOT, both, process, run
from program import Program, copy
from questions import QUESTIONS

HERE = Path(__file__).resolve().parent
WORK = ROOT / "target" / "bench"
SMALL = ROOT / "data" / "clip-flora"
CORES = os.cpu_count() or 1
# What the CPU multiplies in hardware; bf16 on any other is a check of patience.
FLAGS = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
PRECISIONS = ["fp32", "bf16"] if FLAGS and "avx512_bf16" in FLAGS[1].split() else ["fp32"]


class Bench:
    """Inputs, commands and results of one call."""

    def __init__(self, options):
        self.quick, self.plot = options.quick, options.plot
        self.turns = options.turns or (1 if options.quick else 3)
        self.bound, self.against, self.labels, self.sizes = options.threads, options.against, options.labels, options.sizes
        self.rows = []
        self.python = environment.python()
        WORK.mkdir(parents=True, exist_ok=True)
        self.binary, self.given = options.binary or build.binary(), options.inside

    @functools.cached_property
    def inside(self):
        """The executable that measures inside a process."""
        return self.given or build.inside()

    def row(self, what, goal, ratio, detail, at_least=True):
        """One line of the table; `ratio` is a number to be compared to `goal`."""
        holds = ratio >= goal if at_least else ratio <= goal
        self.rows.append((what, f"{'>=' if at_least else '<='} {goal:g}", f"{ratio:.3g}", "holds" if holds else "falls short", detail))
        say(f"    {what}: {ratio:.3g} ({'holds' if holds else 'falls short'}); {detail}")

    # --- inputs ---

    def model(self, name):
        folder = WORK / "models" / name
        self.once(folder, "model", name)
        return folder

    def pictures(self, name, count, sizes):
        folder = WORK / "pictures" / f"{name}-{count}"
        self.once(folder, "pictures", None, str(count), sizes)
        return folder

    def photographs(self, count):
        """Pictures of many sizes; few where it has to be quick."""
        return self.pictures("mixed", 64 if self.quick else count, "500x375-1600x1200")

    def once(self, folder, verb, *words):
        if folder.is_dir():
            return
        say(f"    making {folder.relative_to(ROOT)}")
        half = folder.with_name(folder.name + ".half")
        shutil.rmtree(half, ignore_errors=True)
        words = [verb, words[0], half] if verb == "model" else [verb, half, *words[1:]]
        run([self.python, HERE / "inputs.py", *words])
        half.rename(folder)

    def pipeline(self, name, model, pictures, **settings):
        """A pipeline file over a folder of pictures, and a store of its own."""
        classes = sorted(p.name for p in pictures.iterdir())
        folder = WORK / "pipelines" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sentences.json").write_text(json.dumps({c: [f"a picture of {c}.", f"{c} in the sun."] for c in classes}))
        lines = [f'name = "{name}"', f'store = "{folder / "store"}"', "[dataset]", 'kind = "folder"', f'path = "{pictures}"']
        lines += ["[model]", f'path = "{model}"', "[text]", f'descriptions = "{folder / "sentences.json"}"']
        file = folder / "pipeline.toml"
        file.write_text("\n".join(lines) + "\n")
        sets = [word for key, value in settings.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
        return file, folder / "store", sets

    # --- measuring ---

    def ours(self, *words):
        """(seconds, peak bytes, stderr) of a run of our binary."""
        return process([self.binary, *words])

    def inside_ours(self, *words):
        return json.loads(run([self.inside, *words]))

    def peer(self, script, *words, limit=None):
        """What a peer found out; none where it was stopped after `limit` seconds."""
        said = run([self.python, HERE / "peers" / script, *words], limit=limit)
        return said and json.loads(said.splitlines()[-1])

    def programs(self, name, model, pictures):
        """Our binary over a folder, and the other one that it is compared to, if any: by name."""
        file, _, _ = self.pipeline(name, model, pictures)
        folder = WORK / "stores" / name
        found = {"ours": Program(self.binary, file, pictures, folder / "ours", self.bound)}
        if self.against:
            found["the other"] = Program(self.against, file, pictures, folder / "other", self.bound)
        return found

    def compared(self, what, found):
        """A row for what each of our programs loses in other work: a `load.Slowdown` by name."""
        ours, others = found["ours"], {name: one for name, one in found.items() if name != "ours"}
        detail = "".join(f"; {name} {one.ratio:.2g}: {one}" for name, one in others.items())
        self.row(f"{what}, fair share / measured", 0.8, ours.ratio, f"{ours}{detail}")

    def alone(self, what, found):
        """A row for the time alone, where there is another binary to compare it to."""
        if "the other" in found:
            ours, other = (statistics.median(found[name].alone) for name in ["ours", "the other"])
            self.row(f"{what} alone, the other's time / ours", 0.98, other / ours, f"{other:.2f} and {ours:.2f} s")

    # --- rows ---

    def forward(self):
        """fp32 against transformers, and bf16 against our own fp32."""
        model, seconds, batch = self.model("b32"), 3 if self.quick else 8, "32"
        ours, theirs = [], []
        for _ in range(self.turns):
            ours.append(self.inside_ours("forward", model, "fp32", batch, str(seconds))["rates"]["fp32"])
            theirs.append(self.peer("embed.py", model, "--forward-only", str(seconds), "--batch", batch)["rate"])
        a, b = statistics.median(ours), statistics.median(theirs)
        self.row("B/32 forward, fp32 / transformers", 1.0, a / b, f"{a:.1f} and {b:.1f} img/s")
        if "bf16" not in PRECISIONS:
            return
        both = [self.inside_ours("forward", model, "fp32,bf16", batch, str(2 * seconds)) for _ in range(self.turns)]
        ratio = statistics.median(one["rates"]["bf16"] / one["rates"]["fp32"] for one in both)
        rate = statistics.median(one["rates"]["bf16"] for one in both)
        self.row("B/32 forward, bf16 / our fp32", 2.0, ratio, f"{rate:.1f} img/s")
        self.row("bf16's least cosine to fp32", 0.999, min(one["least_cosine"] for one in both), "32 inputs")

    def embed(self):
        """A folder of photographs' size through B/32, whole process, in each precision."""
        model = self.model("b32")
        pictures = self.photographs(2000)
        count = sum(1 for _ in pictures.rglob("*.jpg"))
        for precision in PRECISIONS:
            file, store, sets = self.pipeline(f"embed-{precision}", model, pictures, model__precision=precision)
            ours, theirs, forward = [], [], []
            for _ in range(self.turns):
                shutil.rmtree(store, ignore_errors=True)
                seconds, _, _ = self.ours("embed", file, "--without-views", *sets)
                ours.append(count / seconds)
                forward.append(self.inside_ours("forward", model, precision, "64", "4")["rates"][precision])
                found = self.peer("embed.py", model, pictures, "--precision", precision)
                theirs.append(found["images"] / found["seconds"])
            a, b, c = (statistics.median(x) for x in (ours, theirs, forward))
            self.row(f"embed a folder, B/32 {precision} / our forward", 0.95, a / c, f"{a:.1f} of {c:.1f} img/s")
            self.row(f"embed a folder, B/32 {precision} / transformers", 1.05, a / b, f"{a:.1f} and {b:.1f} img/s")

    def small(self):
        """The same through a CLIP so small that decoding is what limits."""
        pictures = self.photographs(2000)
        count = sum(1 for _ in pictures.rglob("*.jpg"))
        file, store, sets = self.pipeline("small", SMALL, pictures)
        ours, theirs = [], []
        for _ in range(self.turns):
            shutil.rmtree(store, ignore_errors=True)
            ours.append(count / self.ours("embed", file, "--without-views", *sets)[0])
            found = self.peer("embed.py", SMALL, pictures)
            theirs.append(found["images"] / found["seconds"])
        a, b = statistics.median(ours), statistics.median(theirs)
        self.row("embed a folder, small CLIP / transformers", 3.0, a / b, f"{a:.0f} and {b:.0f} img/s")

    def decode(self):
        """One core, 667 x 500: decode and resize; and what eight crops of one decoded picture cost."""
        pictures = self.pictures("one-size", 60, "667x500")
        flat = WORK / "pictures" / "flat"
        flat.mkdir(exist_ok=True)
        for file in pictures.rglob("*.jpg"):
            link = flat / file.name
            link.exists() or link.symlink_to(file)
        found = [self.inside_ours("decode", flat) for _ in range(self.turns)]
        ms = {key: statistics.median(one[key] for one in found) for key in found[0]}
        parts = ", ".join(f"{name.removesuffix('_ms')} {ms[name]:.2f}" for name in ms if name.endswith("_ms"))
        self.row("decode and resize, one core, img/s", 700, ms["rate"], f"ms: {parts}")

    def epochs(self):
        """An epoch of each way to tune, against the released recipe's, from the seconds of a few of its steps."""
        model = self.model("b32")
        pictures = self.photographs(400)
        count = sum(1 for _ in pictures.rglob("*.jpg"))
        file, store, _ = self.pipeline("epochs", model, pictures)
        self.ours("embed", file)
        steps = "1" if self.quick else "2"
        released = [self.peer("recipe.py", model, pictures, "--steps", steps) for _ in range(min(2, self.turns))]
        lean = self.peer("recipe.py", model, pictures, "--steps", steps, "--lean")
        each = lambda found: found["seconds_a_step"] / found["batch"]
        theirs = statistics.median(each(found) for found in released)
        for tune, goal, epochs in [("layernorm", 8, 1), ("head", 1000, 3)]:
            seed = str(time.time_ns() % 10**9)
            sets = ["--seed", seed, "--set", f"adapt.tune={tune}", "--set", f"adapt.epochs={epochs}"]
            self.ours("adapt", file, *sets)
            asked = f"SELECT p.seconds FROM passes p JOIN runs r USING (run) WHERE r.seed = {seed}"
            out = run([self.binary, "sql", file, asked, "--format", "csv"]).split()[1:]
            ours = statistics.median(float(s) for s in out) / count
            detail = f"{1e3 * ours:.1f} and {1e3 * theirs:.0f} ms a picture (extrapolated from {steps} steps)"
            self.row(f"an epoch, `{tune}`, the released recipe's time / ours", goal, theirs / ours, detail + f"; {each(lean) / ours:.3g} to the lean variant")

    def second(self):
        """The second run, when all is cached."""
        model = self.model("b32")
        pictures = self.photographs(2000)
        file, store, sets = self.pipeline("second", model, pictures)
        shutil.rmtree(store, ignore_errors=True)
        first, _, _ = self.ours("embed", file, "--without-views", *sets)
        again = [self.ours("embed", file, "--without-views", *sets) for _ in range(3)]
        second = statistics.median(seconds for seconds, _, _ in again)
        none = all("no forward pass of the frozen model" in text for _, _, text in again)
        self.row("second run / first run", 0.02, second / first, f"{second:.2f} s after {first:.1f} s, {'0 forwards' if none else 'NOT all cached'}", at_least=False)

    def memory(self):
        """Peak resident memory over ten times the pictures."""
        few, many = (200, 2000) if self.quick else (2000, 20000)
        peaks = []
        for count in [few, many]:
            pictures = self.pictures("thumbnails", count, "160x120")
            file, store, sets = self.pipeline(f"memory-{count}", SMALL, pictures)
            shutil.rmtree(store, ignore_errors=True)
            peaks.append(self.ours("embed", file, "--without-views", *sets)[1] / 1e6)
            shutil.rmtree(store, ignore_errors=True)
        self.row(f"peak memory, {many:,} / {few:,} pictures", 1.10, peaks[1] / peaks[0], f"{peaks[1]:.0f} and {peaks[0]:.0f} MB", at_least=False)

    def parquet(self):
        found = self.inside_ours("parquet", WORK / "parquet")
        self.row("patch tokens to Parquet, one thread, MB/s", 500, found["write_mb_s"], "synced to disk")
        self.row("patch tokens from Parquet, one thread, MB/s", 1400, found["read_mb_s"], "from the page cache")

    def sql(self):
        """Three questions about two passes, on the same files: from the connection to the last row, and as whole processes."""
        images = 100_000 if self.quick else self.labels
        file, store, _ = self.pipeline(f"labels-{images}", SMALL, self.pictures("one-size", 60, "667x500"))
        if not (store / "made").is_file():
            shutil.rmtree(store, ignore_errors=True)
            self.ours("ingest", file)
            [dataset] = os.listdir(store / "labels")
            self.inside_ours("labels", store, dataset, str(images), "1000")
            (store / "made").touch()
        for name, question in QUESTIONS.items():
            ours, theirs, whole_ours, whole_theirs = [], [], [], []
            for _ in range(max(2, 2 * self.turns - 1)):
                ours.append(self.inside_ours("ask", file, question)["seconds"])
                began = time.perf_counter()
                a = run([self.binary, "sql", file, question, "--format", "csv"])
                whole_ours.append(time.perf_counter() - began)
                began = time.perf_counter()
                b, said = both([self.python, HERE / "peers" / "ask.py", str(CORES), store, question])
                whole_theirs.append(time.perf_counter() - began)
                theirs.append(float(said))
            if sorted(numbers(a.splitlines()[1:])) != sorted(numbers(b.splitlines())):
                sys.exit(f"error: {name}: the two answers differ")
            a, b, c, d = (statistics.median(times) for times in (ours, theirs, whole_ours, whole_theirs))
            self.row(f"SQL, {name}, DuckDB's time / ours", 1.0, b / a, f"{a:.2f} and {b:.2f} s; whole processes {c:.2f} and {d:.2f} s")

    def growth(self):
        """How cost grows: seconds to embed, and to adapt by `head`, at growing numbers of pictures."""
        points = {"embed": [], "one pass of head": []}
        for count in [250, 1000] if self.quick else [1000, 10_000, 100_000]:
            pictures = self.pictures("thumbnails", count, "160x120")
            file, store, sets = self.pipeline(f"growth-{count}", SMALL, pictures)
            shutil.rmtree(store, ignore_errors=True)
            points["embed"].append((count, self.ours("embed", file, *sets, "--set", "views.count=1")[0]))
            sets += ["--set", "views.count=1", "--set", "adapt.tune=head", "--set", "adapt.epochs=3"]
            self.ours("adapt", file, *sets)
            out = run([self.binary, "sql", file, "SELECT seconds FROM passes", "--format", "csv"]).split()[1:]
            points["one pass of head"].append((count, statistics.median(float(s) for s in out)))
            shutil.rmtree(store, ignore_errors=True)
        for name, series in points.items():
            (n0, t0), (n1, t1) = series[0], series[-1]
            detail = ", ".join(f"{t:.2f} s at {n:,}" for n, t in series)
            self.row(f"cost a picture at {n1:,} / at {n0:,}, {name}", 1.1, (t1 / n1) / (t0 / n0), detail, at_least=False)
        if self.plot:
            Path(self.plot).write_text(plot.svg(points))

    def scale(self):
        """Every step from the prior on at growing numbers of made pictures: cost a picture, and memory. The largest needs 20 GB of disk."""
        sizes = [2_000, 6_000] if self.quick else self.sizes
        found = {count: scale.measure(WORK / "scale", count, 1000, self.binary, Path(self.inside)) for count in sizes}
        least, most = min(found), max(found)
        for name, last in found[most]["steps"].items():
            first = found[least]["steps"][name]
            detail = f"{last['seconds']:.1f} s at {most:,}, {first['seconds']:.1f} s at {least:,}, {last['resident'] / 1e6:,.0f} MB"
            ratio = last["seconds"] / most / (first["seconds"] / least)
            self.row(f"cost a picture at {most:,} / at {least:,}, {name}", 1.1, ratio, detail, at_least=False)
        peak = max(step["resident"] for step in found[most]["steps"].values())
        self.row(f"peak memory of any step at {most:,}, GB", 4, peak / 1e9, "resident", at_least=False)

    def busy(self):
        """Each verb that computes, as a whole process: alone, and beside a busy loop on every core."""
        verbs = ["embed", "views", "head", "layernorm", "predict"]
        self.beside_loops("small CLIP", SMALL, self.photographs(2000), verbs, 3.0)
        if not self.quick:
            self.beside_loops("B/32", self.model("b32"), self.photographs(400), ["embed"], 1.05)

    def beside_loops(self, clip, model, pictures, verbs, goal):
        """`goal` is that of `embed` against transformers, which is the same alone and beside load."""
        programs = self.programs(f"busy-{model.name}", model, pictures)
        share = load.fair_share(CORES, self.bound or CORES)
        for verb in verbs:
            each = {name: functools.partial(program.seconds, verb) for name, program in programs.items()}
            if verb == "embed":
                each["transformers"] = functools.partial(self.transformers, model, pictures)
            found = {name: load.Slowdown(share) for name in each}
            for _ in range(self.turns):
                for name, seconds in each.items():
                    found[name].turn(seconds, load.busy_loops(CORES))
            self.compared(f"`{verb}` beside busy loops, {clip}", found)
            self.alone(f"`{verb}`, {clip}", found)
            if verb == "embed":
                ours, theirs = (statistics.median(found[name].beside) for name in ["ours", "transformers"])
                what = f"`embed` beside busy loops, {clip}, transformers' time / ours"
                self.row(what, goal, theirs / ours, f"{theirs:.1f} and {ours:.1f} s beside")

    def transformers(self, model, pictures, limit):
        """Seconds that transformers takes for a folder, in the number type that ours takes by itself; none where it was stopped."""
        words = ["--precision", "fp32" if model == SMALL else PRECISIONS[-1]]
        words += ["--threads", self.bound] if self.bound else []
        # Its clock leaves out the start.
        found = self.peer("embed.py", model, pictures, *words, limit=limit and limit + 60)
        return found and found["seconds"]

    def several(self):
        """Copies of `embed` at once, each into a store of its own."""
        copies = 3
        programs = self.programs("several", SMALL, self.photographs(2000))
        share = max(1, copies * min(self.bound or CORES, CORES) / CORES)
        found = {name: load.Slowdown(share) for name in programs}
        for _ in range(self.turns):
            for name, program in programs.items():
                one = functools.partial(program.seconds, "embed")
                found[name].turn(one, contextlib.nullcontext(), functools.partial(at_once, program, "embed", copies))
        self.compared(f"{copies} copies of `embed` at once, small CLIP", found)

    def bits(self):
        """Whether what is written depends on the number of threads, where nothing is trained."""
        self.bits_of("small CLIP", SMALL, self.photographs(400))
        if not self.quick:
            self.bits_of("B/32", self.model("b32"), self.photographs(100))

    def bits_of(self, clip, model, pictures):
        file, _, _ = self.pipeline(f"bits-{model.name}", model, pictures)
        folder = WORK / "stores" / f"bits-{model.name}"
        tables = ["embeddings", "text_features", "composites"]
        found, embedded = {name: [] for name in [*tables, "predict"]}, None
        for threads in THREADS:
            program = Program(self.binary, file, pictures, folder / str(threads), threads)
            store = program.after("views")
            hashes = run([self.python, HERE / "peers" / "bits.py", store, *tables]).split()
            # What answers has the same tables and weights each time, but another number of threads.
            embedded, store = embedded or store, program.folder / "untrained"
            copy(embedded, store)
            process(program.command("untrained", store))
            process(program.command("predict", store))
            hashes.append(hashlib.sha256(program.answers(store).read_bytes()).hexdigest())
            for name, one in zip(found, hashes):
                found[name].append(one)
        for name, hashes in found.items():
            detail = ", ".join(f"{one[:8]} by {threads}" for one, threads in zip(hashes, THREADS))
            what = f"`{name}`, {clip}, different results by 1, 2 and 4 threads"
            self.row(what, 1, len(set(hashes)), detail, at_least=False)

    def floor(self):
        """What the machine can do, and how much of it a forward pass takes."""
        can = self.inside_ours("floor")
        products = ", ".join(f"{can['gflops'][precision]:.0f} GFLOP/s in {precision}" for precision in PRECISIONS)
        say(f"    products {products}; copies {can['gb_s']:.1f} GB/s")
        for name in ["b32"] if self.quick else ["b32", "b16", "l14"]:
            work = flops(name)
            found = self.inside_ours("forward", self.model(name), ",".join(PRECISIONS), "32" if name == "b32" else "8", "6")
            for precision, rate in found["rates"].items():
                share = rate * work / can["gflops"][precision]
                say(f"    {name} {precision}: {rate:.1f} img/s x {work:.1f} GFLOP = {100 * share:.0f} % of the products' rate")


ROWS = ["forward", "embed", "small", "decode", "epochs", "second", "memory", "parquet", "sql", "growth", "scale"]
ROWS += ["busy", "several", "bits", "floor"]
# Numbers of threads that must make no difference.
THREADS = [1, 2, 4]


def flops(name):
    """GFLOP of one picture through the vision tower; a product and a sum are two."""
    width, layers, patch = {"b32": (768, 12, 32), "b16": (768, 12, 16), "l14": (1024, 24, 14)}[name]
    patches = (224 // patch) ** 2
    tokens = patches + 1
    block = 12 * tokens * width * width + 2 * tokens * tokens * width
    return 2e-9 * (patches * 3 * patch * patch * width + layers * block)


def numbers(lines):
    return [tuple(round(float(word), 6) for word in line.split(",")) for line in lines]


def at_once(program, verb, copies, limit):
    """Seconds until the last of some copies is done; none where one was stopped after `limit` seconds."""
    commands = [program.ready(verb, f"copy-{n}") for n in range(copies)]
    began = time.perf_counter()
    with ThreadPoolExecutor(copies) as pool:
        each = list(pool.map(lambda command: process(command, limit)[0], commands))
    return None if None in each else time.perf_counter() - began


def binary(word):
    path = Path(word).resolve()
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise argparse.ArgumentTypeError(f"{word} is no executable file")
    return path


def say(line):
    print(line, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller inputs, one turn each")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, metavar="NAME", help=f"only these: {', '.join(ROWS)}")
    parser.add_argument("--plot", metavar="FILE", help="with growth: draw it as SVG")
    parser.add_argument("--turns", type=int, metavar="N", help="how often each is measured; 3, or 1 with --quick")
    parser.add_argument("--binary", type=binary, metavar="PATH", help="measure this microclip-pipe; none is built")
    parser.add_argument("--inside", type=binary, metavar="PATH", help="measure inside by this executable of speed.rs; none is built")
    parser.add_argument("--against", type=binary, metavar="PATH", help="with busy, several: one that takes turns with ours")
    few = "with busy, several: compute with so many threads, not one per core"
    parser.add_argument("--threads", type=int, metavar="N", choices=range(1, CORES + 1), help=few)
    parser.add_argument("--labels", type=int, metavar="N", default=1_000_000, help="with sql: pictures; a million")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="N", default=[10_000, 100_000], help="with scale: pictures; ten and a hundred thousand")
    options = parser.parse_args()
    # What was started ends with us, whichever way we are told to.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(options)
    if "bf16" not in PRECISIONS:
        say("    this CPU has no avx512_bf16: the rows in bf16 are left out, and ours trains in fp32")
    began = time.perf_counter()
    for name in options.rows:
        say(f"{time.perf_counter() - began:6.0f} s  {name}")
        getattr(bench, name)()
    titles = ("what", "goal", "measured", "", "")
    widths = [max(len(row[n]) for row in [titles, *bench.rows]) for n in range(5)]
    for row in [titles, *bench.rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    load = os.getloadavg()[0]
    print(f"\n{CORES} cores, {time.perf_counter() - began:.0f} s; load average at the end {load:.1f}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
