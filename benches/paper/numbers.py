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
# sync of the folder.
ENTRIES, NAMED = 100_000 / 0.115, 0.004
# Measured for this page on moto, a stand-in for S3, through boto3 and one connection on the same machine, beside other work: requests a second.
STAND_IN = {"HEADs": 154, "GETs of 100 bytes": 186, "puts of a new name": 112, "refused puts": 52, "lists after a name": 57}
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
CELL, LOOKED_INTO, SAMPLED, ROUNDS = 512, 24, 64, 6  # src/fusion/neighbours/cells.rs

# Assumed.
HOST_GPUS, HOST_CORES, HOST_MEMORY, HOST_DISK, HOST_NETWORK = 8, 128, 1 * TB, 30 * TB, 12.5 * GB
PICTURE = 110 * KB
LARGER_PART, FEW_UNITS = 8192, 512
SPREAD, SLOW, SLOWNESS = 0.1, 2 / 64, 2.0
NOTICED, SPOT, START = 180, 0.1 / HOUR, 10  # seconds, of a second, seconds
AT_ONCE = 16
# Published: Amazon S3, and 419 interruptions of 16,384 GPUs in 54 days.
LATENCY, REQUEST, PUTS, GETS, LISTED = 0.1, 90 * MB, 3500, 5500, 1000
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


def id_requests(rows, row=EMBEDDING):
    """Requests that read the ids of a part: its footer, and a column's piece of each row group."""
    return 1 + ceil(rows / max(1, GROUP_BYTES // int(row)))


def start(pictures):
    """Seconds until a shard that begins again computes, and that its end takes: it reads the rows of all pictures, and their ids in the tables."""
    return START + pictures / KNOWN
