"""Every number that goes into the page of a billion pictures, with where it is from."""

from math import ceil

SEED = 0
KB, MB, GB, TB = 1e3, 1e6, 1e9, 1e12
HOUR, DAY, YEAR = 3600, 86400, 365 * 86400

# What is asked for. All pictures are trained on, and none has a label.
PICTURES, GPUS, CLASSES, PASSES = 1_000_000_000, 64, 1000, 15
# ViT-B/16 at 224: width, projected width, patches (schemas/embeddings.toml, schemas/composites.toml); crops of a picture (views.count).
WIDTH, JOINT, PATCHES, CROPS = 768, 512, 196, 8

# Measured here, at 1,281,167 pictures of which 25 in 26 are for training: docs/scale.md.
MEASURED, TRAINING = 1_281_167, 1_281_167 * 25 / 26
# Bytes a row beside the numbers: its id, footers. The CLIP there has width 64 and 4 patches.
EMBEDDINGS_BESIDE, COMPOSITES_BESIDE = 1073 - (64 + 64) * 4 - 4 * 64 * 2 - 4 - 4, 817 - 3 * 64 * 4
LOGITS_BESIDE = 4_975_681_512 / TRAINING - CLASSES * 4
PSEUDO_LABELS = 107_876_128 / 2 / TRAINING
NEIGHBOURS, IMAGES, PREDICTIONS = 426, 234 - 152, 45  # less the copied pictures of 8 x 8 pixels
MEMORY_FIXED, MEMORY_A_PICTURE = 399 * MB, (1710 * MB - 399 * MB) / (MEASURED - 100_000)  # its own, of two passes, at both sizes
PASS_ROWS = TRAINING / 655  # a second of one core: a pass by top_k_per_class with the prior there, start, logits and checkpoint included
EVALUATION_ROWS = MEASURED / 1393  # a second of one core
EVALUATION_OF_100_000 = 64.3  # seconds on two cores
# Measured for this page on that store, beside other work, 2026-11-27: `run --dry-run`, which reads the rows of `images` and the ids of two tables,
# takes 4.3 s of a core, of which 0.45 s are its start (`SELECT 1`).
KNOWN = MEASURED / (4.3 - 0.45)
# Measured for this page on its disk (ext4): entries a second of a folder of 100,000, read and sorted in Python; seconds of a link, an unlink and a
# sync of the folder; files a second of such a folder that are asked for their size and times.
ENTRIES, NAMED, STATED = 100_000 / 0.115, 0.004, 100_000 / 0.23
# Measured for this page on moto, a stand-in for S3, through boto3 and one connection on the same machine, beside other work: requests a second.
STAND_IN = {"HEADs": 154, "GETs of 100 bytes": 186, "puts of a new name": 112, "refused puts": 52, "lists after a name": 57}
# Counted for this page on moto, of `embed --cluster` with an executor that found 26 parts of 64 rows of each table and did two units: what it asked
# for of each part that another had named, in its first unit alone; its lists, a unit, of the two tables' folders and of folders with nothing in them.
# It asked for no HEAD, and for no ids.
COUNTED_GETS, COUNTED_LISTS = 3, (7, 3)
# The same lists by what asks for them: src/stage/frozen/fill.rs, `fill`, which comes before the forwards, and `lacking`, where pictures are at an
# address; src/store/once.rs, `finish`, of each of two tables. Each is (lists of a table's folder, lists of crops or of the quarantine).
FILLING, LACKING, FINISHING = (3, 1), (2, 1), (2, 1)
# On a file system, readings of a folder: `fill`'s; what begins a part, which looks for what is left of others, and `finish`'s. `span::may_have` asks
# for the times of each file as `fill` lists it, and as `finish` first does.
READINGS, STATINGS = 3 + 2 * (1 + 2), 3 + 2
# Measured for this page: footers of parts of 64 rows that this version wrote, less their one row group; what a row group takes of one; bytes of an id
# in its column.
FOOTER, FOOTER_GROUP = {"embeddings": 1931, "composites": 1566}, {"embeddings": 706, "composites": 549}
ID_STORED = 36
# benches/README.md, SQL at ten million rows on two cores: seconds; docs/scale.md: what `sql` allocates for the same join, at two sizes.
JOIN, CHANGED = 10_000_000 / 3.22, 10_000_000 / 0.17
JOIN_A_ROW, MEMORY_OF_SQL = (474 - 140) * MB / (MEASURED - 100_000), 4 * GB
# Measured on one H200 with 16 cores: benches/README.md, "On a GPU".
GFLOP, TFLOPS = 35, 365  # a forward of B/16; products a second, with L/14
WHOLE_PROCESS = 6000 / 8.9  # pictures a second, B/16 with 8 crops each, a process of nine seconds, its start included
INGEST_CORE = 4270 / 16  # pictures a second
HEAD_STEP_16, HEAD_STEP_64 = 1.3 / 375, 0.37 / 94  # seconds of a training step of `head`
CORE_FLOPS = 91e9  # products of one core in fp32: 182 GFLOP/s on two

# src/stage/frozen/parts.rs, src/store/encoding.rs; parquet 59.3: SerializedFileWriter::next_row_group; arrow 59.3:
# GenericByteArray::from_iter_values.
PART_ROWS, GROUP_BYTES, GROUP_ROWS, GROUPS_A_FILE, TEXT_BYTES, ID_LETTERS = 2048, 32 << 20, 1 << 17, 2**15 - 1, 2**31 - 1, 64
# src/objects/client.rs, src/objects/bucket.rs: bytes of a piece of an object that is fetched as a whole, and pieces at once.
PIECE, PIECES = 4 << 20, 4
# src/store/replica: bytes of a block that is asked for at once, and objects whose blocks are kept; src/store/span.rs: parts whose spans are kept;
# src/cluster/driver.rs: units of a job; docs/cluster.md: bytes of a unit in its plan.
BLOCK, RANGED, SPANS, UNITS_A_JOB, UNIT = 64 << 10, 16, 1 << 20, 10_000, 400
# Bytes of a row of `images` that a process has read (src/stage/pictures.rs, `Picture`), its id as text, and a path, whose length is assumed.
ROW_KNOWN = 128 + 64 + 64
AT_ONCE = 16  # src/objects/listing.rs: objects that are asked for at once, of pictures alone
CELL, LOOKED_INTO, SAMPLED, ROUNDS = 512, 24, 64, 6  # src/fusion/neighbours/cells.rs

# Assumed.
HOST_GPUS, HOST_CORES, HOST_MEMORY, HOST_DISK, HOST_NETWORK = 8, 128, 1 * TB, 30 * TB, 12.5 * GB
PICTURE = 110 * KB
LARGER_PART, LARGEST_PART, FEW_UNITS = 8192, 16_384, 512
SPREAD, SLOW, SLOWNESS = 0.1, 2 / 64, 2.0
NOTICED, SPOT, START = 15, 0.1 / HOUR, 10  # seconds (the default of `--executor-timeout`), of a second, seconds
# Published: Amazon S3, and 419 interruptions of 16,384 GPUs in 54 days.
LATENCY, REQUEST, PUTS, GETS, LISTED, LARGEST_PUT = 0.1, 90 * MB, 3500, 5500, 1000, 5 * GB
PRICE_PUT, PRICE_GET = 0.005 / 1000, 0.0004 / 1000
PRICES_STORED = [(50 * TB, 0.023 / GB), (450 * TB, 0.022 / GB), (float("inf"), 0.021 / GB)]
AMAZON = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"
REQUESTS = (
    "https://docs.aws.amazon.com/whitepapers/latest/s3-optimizing-performance-best-practices/"
    "horizontal-scaling-and-request-parallelization-for-high-throughput.html"
)
HARDWARE = 419 / (54 * DAY * 16_384)

# Derived.
GPU_RATE = TFLOPS * 1e12 / ((1 + CROPS) * GFLOP * 1e9)
RATE = GPUS * GPU_RATE
EMBEDDING = (JOINT + WIDTH) * 4 + PATCHES * WIDTH * 2 + 4 + PATCHES + EMBEDDINGS_BESIDE
TOKENS = PATCHES * WIDTH * 2
COMPOSITE = 3 * JOINT * 4 + COMPOSITES_BESIDE
LOGITS = CLASSES * 4 + LOGITS_BESIDE
HOSTS = GPUS // HOST_GPUS


def parts(rows=PART_ROWS):
    return ceil(PICTURES / rows)


def start(pictures):
    """Seconds until a shard that begins again computes, and that its end takes, on a file system: it reads the rows of all pictures, and their ids in
    the tables (src/stage/frozen/composites.rs, `compare_what_is_read`; src/pipeline/shard.rs, `missing`). An executor that begins again reads the
    rows and footers alone, which is taken to last as long."""
    return START + pictures / KNOWN
