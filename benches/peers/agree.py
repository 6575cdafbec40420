"""How far two stores agree on the features of the same pictures, and the labels of their last passes: agree.py STORE STORE. Needs numpy and pyarrow."""

import sys
from pathlib import Path

import numpy
import pyarrow.parquet

KINDS = {"patch_tokens": numpy.float16, "mask": numpy.uint8}


def main():
    one, other = (table(Path(store), "embeddings").sort_by("image_id") for store in sys.argv[1:])
    assert one["image_id"] == other["image_id"], "not the same pictures"
    for name in ["cls_feature", "cls_token", "patch_tokens", "mask"]:
        a, b = rows(one[name], name), rows(other[name], name)
        lengths = numpy.linalg.norm(a, axis=1) * numpy.linalg.norm(b, axis=1)
        cosine = (a * b).sum(1) / numpy.maximum(lengths, 1e-12)
        if name == "mask":
            print(f"mask: {numpy.mean(a == b):.2%} of patches equal, {numpy.mean((a == b).all(1)):.2%} of pictures")
        else:
            print(f"{name}: cosine {cosine.min():.6f} at least, {cosine.mean():.6f} in the mean")
    labels = [table(Path(store), "pseudo_labels") for store in sys.argv[1:]]
    if all(labels):
        one, other = (last(found) for found in labels)
        same = [other.get(picture) == label for picture, label in one.items()]
        print(f"labels of the last pass: {numpy.mean(same):.2%} equal of {len(same)}")


def table(store, name):
    """All rows of a table; none where the store has no such table."""
    parts = sorted((store / name).glob("*/*.parquet"))
    return pyarrow.concat_tables([pyarrow.parquet.ParquetFile(part).read() for part in parts]) if parts else None


def rows(column, name):
    values = column.to_pylist()
    kind = KINDS.get(name)
    return numpy.stack([numpy.frombuffer(value, kind) if kind else value for value in values]).astype(numpy.float32)


def last(labels):
    """The label of each picture in the last pass."""
    newest = max(labels["pass"].to_pylist())
    rows = zip(labels["pass"].to_pylist(), labels["image_id"].to_pylist(), labels["class_id"].to_pylist())
    return {picture: label for number, picture, label in rows if number == newest}


if __name__ == "__main__":
    main()
