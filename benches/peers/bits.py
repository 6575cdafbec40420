"""What tables hold, to the bit: bits.py STORE TABLE... prints a sha256 for each, over its rows in the order of their keys.

In whose parts a row lies, and in which place, does not matter.
"""

import hashlib
import sys

import duckdb

store, *tables = sys.argv[1:]
for table in tables:
    # Floats are written with as many digits as tell them from all others.
    rows = duckdb.sql(f"SELECT CAST(t AS VARCHAR) AS line FROM read_parquet('{store}/{table}/*/*.parquet') t ORDER BY t.image_id, line")
    found = hashlib.sha256()
    while some := rows.fetchmany(256):
        found.update("".join(f"{line}\n" for (line,) in some).encode())
    print(found.hexdigest())
