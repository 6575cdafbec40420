"""Reads a server's tables through ADBC's Flight SQL driver, and compares them with what `sql` prints.

    adbc_client.py ADDRESS PROGRAM PIPELINE CA    with the token in TOKEN
"""

import json
import os
import subprocess
import sys

import adbc_driver_flightsql.dbapi as flightsql
import duckdb
import pandas as pd
import polars as pl
from adbc_driver_flightsql import DatabaseOptions

ADDRESS, PROGRAM, PIPELINE, CA = sys.argv[1:]


def connect(token):
    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}
    if ADDRESS.startswith("grpc+tls"):
        with open(CA) as file:
            options[DatabaseOptions.TLS_ROOT_CERTS.value] = file.read()
    return flightsql.connect(ADDRESS, db_kwargs=options, autocommit=True)


def printed(statement):
    done = subprocess.run([PROGRAM, "sql", PIPELINE, statement, "--format", "json"], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def same(ours, theirs, what):
    assert ours == theirs, f"{what}: {ours[:3]} is not {theirs[:3]}"


connection = connect(os.environ["TOKEN"])
STATEMENT = "SELECT i.path, i.split, p.class_id, CAST(p.confidence AS DOUBLE) AS confidence FROM predictions p JOIN images i USING (image_id) ORDER BY i.path"
expected = printed(STATEMENT)
assert len(expected) == 18, expected

with connection.cursor() as cursor:
    cursor.execute(STATEMENT)
    same(cursor.fetch_arrow_table().to_pylist(), expected, "Arrow")
    # Every table, with vectors, texts, times and nothing in it.
    for row in connection.adbc_get_objects(depth="tables").read_all().to_pylist():
        for schema in row["catalog_db_schemas"]:
            for table in schema["db_schema_tables"]:
                name = ".".join([row["catalog_name"], schema["db_schema_name"], table["table_name"]])
                cursor.execute(f"SELECT count(*) FROM {name}")
                (rows,) = cursor.fetchone()
                cursor.execute(f"SELECT * FROM {name}")
                assert cursor.fetch_arrow_table().num_rows == rows, name

frame = pd.read_sql(STATEMENT, connection)
same(json.loads(frame.to_json(orient="records", double_precision=15)), json.loads(pd.DataFrame(expected).to_json(orient="records", double_precision=15)), "pandas")
print("pandas", frame.shape)

frame = pl.read_database(STATEMENT, connection)
same(frame.select("path", "split", "class_id").to_dicts(), [{key: row[key] for key in ("path", "split", "class_id")} for row in expected], "Polars")
print("Polars", frame.shape)

with connection.cursor() as cursor:
    cursor.execute("SELECT image_id, cls_feature FROM embeddings")
    features = cursor.fetch_record_batch()
    db = duckdb.connect()
    (rows, width) = db.execute("SELECT count(*), min(len(cls_feature)) FROM features").fetchall()[0]
    assert rows == 18 and width > 8, (rows, width)
    cursor.execute(STATEMENT)
    predictions = cursor.fetch_record_batch()
    counts = db.execute("SELECT split, count(*) FROM predictions GROUP BY split ORDER BY split").fetchall()
    same(counts, [("test", 6), ("train", 12)], "DuckDB")
    print("DuckDB", counts)

with connection.cursor() as cursor:
    for split, images in (("train", 12), ("test", 6), ("none", 0)):
        cursor.execute("SELECT count(*) FROM images WHERE split = ? AND width > ?", (split, 1))
        same(cursor.fetchone(), (images,), "parameters")
    try:
        cursor.execute("SELECT * FROM metric")
        raise SystemExit("a mistake was answered")
    except flightsql.Error as error:
        assert "there is no table `metric`" in str(error) and "did you mean `metrics`?" in str(error), error
    cursor.execute("SELECT a.value FROM generate_series(1, 100000) a CROSS JOIN generate_series(1, 100000) b")
    cursor.fetchone()
    cursor.adbc_cancel()

info = connection.adbc_get_info()
assert info["vendor_name"] == "microclip-pipe", info
assert connection.adbc_get_table_types() == ["TABLE", "VIEW"]
assert "class_id" in connection.adbc_get_table_schema("predictions", db_schema_filter="public").names
connection.close()

try:
    with connect("canary-0123456789abcdeg") as stranger, stranger.cursor() as cursor:
        cursor.execute("SELECT 1")
    raise SystemExit("a wrong token was let in")
except flightsql.Error as error:
    assert "wants its token" in str(error), error
print("all agree")
