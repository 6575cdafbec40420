"""A question in DuckDB: ask.py THREADS STORE SQL. Tables are the store's Parquet files."""

import sys
from pathlib import Path

import duckdb

threads, store, question = sys.argv[1:]
connection = duckdb.connect(config={"threads": int(threads)})
for table in sorted(p.name for p in Path(store).iterdir() if p.is_dir()):
    connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{store}/{table}/*/*.parquet')")
for row in connection.execute(question).fetchall():
    print(*row, sep=",")
