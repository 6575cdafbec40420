"""A question in DuckDB: ask.py THREADS STORE SQL. Tables are the store's Parquet files.

Prints the rows on stdout, and on stderr the seconds from the connection to the last row: the process's start is not in them.
"""

import sys
import time
from pathlib import Path

import duckdb

threads, store, question = sys.argv[1:]
began = time.perf_counter()
connection = duckdb.connect(config={"threads": int(threads)})
# A store also has folders that are no tables.
for table in sorted({part.parent.parent.name for part in Path(store).glob("*/*/*.parquet")}):
    connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{store}/{table}/*/*.parquet')")
rows = connection.execute(question).fetchall()
print(time.perf_counter() - began, file=sys.stderr)
for row in rows:
    print(*row, sep=",")
