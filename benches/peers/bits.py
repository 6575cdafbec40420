"""What tables hold, to the bit: bits.py STORE TABLE... prints a sha256 of each, whatever the order of its rows."""

import hashlib
import sys

import duckdb

store, *tables = sys.argv[1:]
for table in tables:
    # A float is written with as many digits as tell it from all others.
    parts = f"read_parquet('{store}/{table}/*/*.parquet')"
    rows = duckdb.execute(f"SELECT CAST(t AS VARCHAR) AS line FROM {parts} t ORDER BY line")
    found = hashlib.sha256()
    while some := rows.fetchmany(256):
        found.update("".join(f"{line}\n" for (line,) in some).encode())
    print(found.hexdigest())
