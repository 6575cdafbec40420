"""Every table of a store, read by DuckDB, Polars, pandas and datasets: all find the values that this program's own SQL finds.

    tables.py BINARY

fills a store with runs on some pictures of the embedded set, and compares all columns of all tables to the bit, null by null; fails at the first
that differs. `make tables-check` runs it.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import datasets
import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Neither a second vision model nor a language model is in the repository, and `read_files` is there only while an ingest is interrupted.
NOT_FILLED = {"second_features", "second_classes", "llm_answers", "llm_sentences", "read_files"}
SPEC = f"""\
name = "tables"
store = "store"
dataset = {{ kind = "folder", path = "pictures", tolerance = 0.5 }}
model = {{ path = "{ROOT}/data/clip-flora" }}
text = {{ descriptions = "{ROOT}/data/flowers/descriptions.json" }}
views = {{ count = 2, keep = true }}
adapt = {{ recipe = "paper", tune = "layernorm", from_block = 3, epochs = 2, batch = 8, keep = "top:2" }}
"""
ABLATION = """\
name = "tables"
store = "store"
pipelines = ["pipeline.toml"]
split = "train"
seeds = [0]
rows = [
  { name = "as it is", set = [] },
  { name = "all logits", set = ["adapt.keep=all", "adapt.lr=1e-5"] },
  { name = "recommended", set = ["adapt.recipe=recommended", "adapt.tune=head", "adapt.from_block=0"] },
]
"""


def by_duckdb(files, _):
    return duckdb.connect().read_parquet(files).to_arrow_table()


def by_polars(files, _):
    return polars.read_parquet(files).to_arrow()


def by_pandas(files, _):
    frames = (pandas.read_parquet(file, dtype_backend="pyarrow") for file in files)
    return pa.Table.from_pandas(pandas.concat(frames), preserve_index=False)


def by_datasets(files, cache):
    return datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache).with_format("arrow")[:]


READERS = {"DuckDB": by_duckdb, "Polars": by_polars, "pandas": by_pandas, "datasets": by_datasets}


def fill(binary, folder):
    """Makes a pipeline in the folder and its store, from pictures among which some are unlike others."""
    flowers = pq.read_table(ROOT / "data" / "flowers" / "train-00000-of-00001.parquet")
    names = json.loads(flowers.schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"]
    for number, row in enumerate(flowers.to_pylist()[: 2 * len(names)]):
        of_class = folder / "pictures" / names[row["label"]]
        of_class.mkdir(parents=True, exist_ok=True)
        (of_class / f"{number:02}.jpg").write_bytes(row["image"]["bytes"])
    (of_class / "again.jpg").write_bytes(row["image"]["bytes"])
    (of_class / "cut.jpg").write_bytes(row["image"]["bytes"][:100])
    Image.new("RGB", (64, 64), "teal").save(of_class / "one colour.png")
    (folder / "pipeline.toml").write_text(SPEC)
    (folder / "ablation.toml").write_text(ABLATION)
    subprocess.run([binary, "ablate", folder / "ablation.toml", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([binary, "ablate", folder / "ablation.toml", "--choose", "--quiet"], check=True, stdout=subprocess.DEVNULL)


def by_program(binary, statement, folder):
    """What this program's SQL answers."""
    file = folder / "own.parquet"
    subprocess.run([binary, "sql", folder / "pipeline.toml", statement, "--format", "parquet", "--output", file, "--quiet"], check=True)
    return pq.read_table(file)


def shown(binary, table, folder):
    """A table as this program's SQL shows it, and its files."""
    name, partitions = table["name"], "*"
    rows = by_program(binary, f'SELECT * FROM "{name}"', folder)
    # Runs share the rows of a prior, so that the files do not say whose they are: those of one run are compared.
    if table["scope"] == "prior":
        run, partitions = (column[0].as_py() for column in by_program(binary, "SELECT run, prior FROM runs LIMIT 1", folder))
        rows = rows.filter(pa.compute.equal(rows["run"], run)).drop_columns("run")
    return rows, sorted(map(str, (folder / "store" / name).glob(f"{partitions}/*.parquet")))


def moments(rows, table, own):
    """The rows with times, as SQL shows them, of the nanoseconds in files."""
    for column in table["columns"]:
        if "sql" in column:
            name = column["name"]
            times = rows[name].cast(pa.timestamp("ns", "UTC")).cast(own[name].type, safe=False)
            rows = rows.set_column(rows.column_names.index(name), name, times)
    return rows


def plain(kind):
    """One type for all spellings of it: a library may read lists of one length as lists of any, and texts as views."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.large_list(plain(kind.value_type))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.large_binary()
    return pa.timestamp("ns", "UTC") if pa.types.is_timestamp(kind) else kind


def sorted_plain(rows, columns, key):
    rows = rows.cast(pa.schema([pa.field(column.name, plain(column.type)) for column in rows.schema])).select(columns)
    return rows.take(pa.compute.sort_indices(rows, [(name, "ascending") for name in key])).combine_chunks()


def difference(expected, found):
    if expected.num_rows != found.num_rows:
        return f"has {found.num_rows} rows instead of {expected.num_rows}"
    for name in expected.column_names:
        ours, theirs = expected[name], found[name]
        if ours.type != theirs.type:
            return f"`{name}` is {theirs.type} instead of {ours.type}"
        if not ours.equals(theirs):
            return f"`{name}` has other values"
    return None


def compare(binary, table, folder):
    """Compares a table, and returns whether it has rows."""
    own, files = shown(binary, table, folder)
    if not own.num_rows:
        return False
    key = [name for name in table["key"] if name in own.column_names]
    expected = sorted_plain(own, own.column_names, key)
    for library, read in READERS.items():
        fault = difference(expected, sorted_plain(moments(read(files, folder), table, own), own.column_names, key))
        if fault:
            sys.exit(f"error: {table['name']} read by {library}: {fault}")
    print(f"{table['name']}: {expected.num_rows:,} rows, {expected.num_columns} columns")
    return True


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as parent:
        folder = pathlib.Path(parent)
        fill(binary, folder)
        tables = [tomllib.loads(path.read_text()) for path in sorted((ROOT / "schemas").glob("*.toml"))]
        empty = {table["name"] for table in tables if not compare(binary, table, folder)}
    if empty != NOT_FILLED:
        sys.exit(f"error: without rows are {', '.join(sorted(empty))}")
    print(f"{len(tables) - len(empty)} tables, the same in {', '.join(READERS)} and sql")


if __name__ == "__main__":
    main()
