#!/usr/bin/env python3
"""Draws a picture, writes it as several hundred kinds of JPEG, and keeps what Pillow makes of them.

    matrix.py OUT [--golden]

Writes OUT/*.jpg, OUT/*.rgb (Pillow's `convert("RGB")`, raw) and OUT/matrix.tsv: file, width, height,
and what Pillow said (`ok`, or its refusal). With --golden only the few kinds that tests/golden/jpeg
holds, with Pillow's pixels as PNG. Needs Pillow, numpy, and cjpeg of libjpeg-turbo for everything but
the kinds written by `encode` below. The same input gives the same bytes. `make soak` compares the
program's pixels with Pillow's in all of them (tests/jpeg_matrix.rs).
"""
import io
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from drawn import picture  # noqa: E402

SIZES = [(1, 1), (7, 5), (15, 17), (16, 16), (17, 33), (31, 9), (64, 48), (227, 149)]
# Y, Cb, Cr as cjpeg takes them.
SAMPLINGS = {
    "444": "1x1,1x1,1x1", "422": "2x1,1x1,1x1", "440": "1x2,1x1,1x1", "420": "2x2,1x1,1x1",
    "411": "4x1,1x1,1x1", "14": "1x4,1x1,1x1", "42": "4x2,1x1,1x1", "24": "2x4,1x1,1x1",
    "31": "3x1,1x1,1x1", "32": "3x2,1x1,1x1",
    "all22": "2x2,2x2,2x2", "all21": "2x1,2x1,2x1",
    "finer21": "1x1,2x1,2x1", "finer12": "1x1,1x2,1x2", "finer22": "1x1,2x2,2x2", "finercb": "1x1,2x1,1x1",
    "mixed1": "2x2,2x1,1x2", "mixed2": "2x1,1x2,1x1", "mixed3": "2x2,2x2,1x1", "mixed4": "4x1,2x1,1x1",
    "mixed5": "1x4,1x2,1x1", "mixed6": "2x2,2x1,1x1", "mixed7": "4x1,1x1,2x1", "mixed8": "2x2,1x2,2x2",
    "fraction": "3x1,2x1,1x1", "fraction2": "2x2,1x2,2x1",
}
MODES = {
    "base": [],
    "ones": ["-scans", "0; 1; 2;"],
    "reversed": ["-scans", "2; 1; 0;"],
    "pair": ["-scans", "0; 1 2;"],
    "prog": ["-progressive"],
    "dclast": ["-scans", "0 1 2: 0-0, 0, 1; 0: 1-63, 0, 0; 1: 1-63, 0, 0; 2: 1-63, 0, 0; 0 1 2: 0-0, 1, 0;"],
    "spectral": ["-scans", "0 1 2: 0-0, 0, 0; 0: 1-5, 0, 0; 1: 1-63, 0, 0; 2: 1-63, 0, 0; 0: 6-63, 0, 0;"],
    "approx": ["-scans", "0: 0-0, 0, 2; 1 2: 0-0, 0, 2; 0 1 2: 0-0, 2, 1; 0: 0-0, 1, 0; 1: 0-0, 1, 0; "
               "2: 0-0, 1, 0; 2: 1-63, 0, 3; 1: 1-63, 0, 3; 0: 1-63, 0, 3; 0: 1-63, 3, 2; 1: 1-63, 3, 2; 2: 1-63, 3, 2; "
               "0: 1-63, 2, 1; 1: 1-63, 2, 1; 2: 1-63, 2, 1; 0: 1-63, 1, 0; 1: 1-63, 1, 0; 2: 1-63, 1, 0;"],
}


def cjpeg(pixels, *arguments):
    arguments = list(arguments)
    height, width = pixels.shape[:2]
    ppm = b"P6\n%d %d\n255\n" % (width, height) + pixels.tobytes()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as script:
        if "-scans" in arguments:
            at = arguments.index("-scans") + 1
            script.write(arguments[at])
            script.flush()
            arguments[at] = script.name
        done = subprocess.run(["cjpeg", "-quality", "85", *arguments], input=ppm, capture_output=True)
    return done.stdout if done.returncode == 0 else None


# --- a baseline encoder, for what cjpeg cannot write -------------------------------------------------

ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, (i // 8 if (i // 8 + i % 8) % 2 else i % 8)))
# One Huffman table that has a code of 8 bits for each symbol but the last few, of 9: valid, if not small.
SYMBOLS = [run << 4 | size for run in range(16) for size in range(1, 11)] + [0x00, 0xF0]
AC = {symbol: code for code, symbol in enumerate(SYMBOLS)}
DC = {size: size for size in range(12)}
DCT = np.array([[np.sqrt((1 if u == 0 else 2) / 8) * np.cos((2 * x + 1) * u * np.pi / 16) for x in range(8)]
                for u in range(8)])


def encode(planes, sampling, scans=None, restart=0, adobe=None, ids=None, jfif=False, quant=8, pad="edge"):
    """Returns a baseline file of planes at full size, which are averaged down to their sampling."""
    height, width = planes[0].shape
    hmax, vmax = max(h for h, _ in sampling), max(v for _, v in sampling)
    mcus_x, mcus_y = -(-width // (8 * hmax)), -(-height // (8 * vmax))
    ids = ids or list(range(1, len(planes) + 1))
    blocks, extents = [], []
    for plane, (h, v) in zip(planes, sampling):
        wide, high = mcus_x * 8 * hmax, mcus_y * 8 * vmax
        full = np.pad(plane.astype(float), ((0, high - height), (0, wide - width)), pad)
        rows, columns = mcus_y * 8 * v, mcus_x * 8 * h
        y = (np.arange(high) * rows // high)
        x = (np.arange(wide) * columns // wide)
        small, count = np.zeros((rows, columns)), np.zeros((rows, columns))
        np.add.at(small, (y[:, None], x[None, :]), full)
        np.add.at(count, (y[:, None], x[None, :]), 1)
        # Where a plane has more rows than pixels in the picture's grid, some get none: repeat.
        if (count == 0).any():
            small = full[(np.arange(rows) * high // rows)][:, (np.arange(columns) * wide // columns)]
            count = 1
        small = small / count - 128
        tiles = small.reshape(rows // 8, 8, columns // 8, 8).transpose(0, 2, 1, 3)
        blocks.append(np.rint(DCT @ tiles @ DCT.T / quant).astype(int))
        extents.append((-(-(-(-width * h // hmax)) // 8), -(-(-(-height * v // vmax)) // 8)))

    out = bytearray(b"\xff\xd8")

    def segment(marker, body):
        out.extend(bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + bytes(body))

    if jfif:
        segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    if adobe is not None:
        segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([adobe]))
    segment(0xDB, bytes([0]) + bytes([quant] * 64))
    frame = bytes([8]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([len(planes)])
    segment(0xC0, frame + b"".join(bytes([i, h << 4 | v, 0]) for i, (h, v) in zip(ids, sampling)))
    segment(0xC4, bytes([0x00] + [0, 0, 0, 12] + [0] * 12) + bytes(range(12)))
    segment(0xC4, bytes([0x10] + [0] * 7 + [len(SYMBOLS)] + [0] * 8) + bytes(SYMBOLS))
    if restart:
        segment(0xDD, restart.to_bytes(2, "big"))
    for scan in scans or [list(range(len(planes)))]:
        segment(0xDA, bytes([len(scan)]) + b"".join(bytes([ids[c], 0x00]) for c in scan) + b"\x00\x3f\x00")
        bits, previous, done = [], {c: 0 for c in scan}, 0
        parts = []
        if len(scan) == 1:
            c = scan[0]
            units = [[(c, y, x)] for y in range(extents[c][1]) for x in range(extents[c][0])]
        else:
            units = [[(c, my * sampling[c][1] + y, mx * sampling[c][0] + x) for c in scan
                      for y in range(sampling[c][1]) for x in range(sampling[c][0])]
                     for my in range(mcus_y) for mx in range(mcus_x)]
        for unit in units:
            if restart and done and done % restart == 0:
                parts.append(bits)
                bits, previous = [], {c: 0 for c in scan}
            done += 1
            for c, y, x in unit:
                block = blocks[c][y, x].reshape(64)[ZIGZAG]
                value = int(block[0]) - previous[c]
                previous[c] = int(block[0])
                size = abs(value).bit_length()
                bits.append((DC[size], 4))
                bits.append((value if value >= 0 else value + (1 << size) - 1, size))
                run = 0
                for k in range(1, 64):
                    value = int(block[k])
                    if value == 0:
                        run += 1
                        continue
                    while run > 15:
                        bits.append((AC[0xF0], 8))
                        run -= 16
                    size = abs(value).bit_length()
                    bits.append((AC[run << 4 | size], 8))
                    bits.append((value if value >= 0 else value + (1 << size) - 1, size))
                    run = 0
                if run:
                    bits.append((AC[0], 8))
        parts.append(bits)
        for number, part in enumerate(parts):
            text = "".join(format(value, f"0{size}b") for value, size in part if size)
            text += "1" * (-len(text) % 8)
            data = int("1" + text, 2).to_bytes(len(text) // 8 + 1, "big")[1:] if text else b""
            out.extend(data.replace(b"\xff", b"\xff\0"))
            if number + 1 < len(parts):
                out.extend([0xFF, 0xD0 + number % 8])
    return bytes(out) + b"\xff\xd9"


def ycc(pixels):
    return [np.asarray(c) for c in Image.fromarray(pixels).convert("YCbCr").split()]


def four(pixels):
    rest = np.flipud(pixels[..., 1])
    return [*ycc(pixels), rest]


# --- surgery on markers ------------------------------------------------------------------------------


def frame_at(data):
    return re.search(rb"\xff[\xc0\xc1\xc2\xc9]\x00[\x08-\x14]\x08", data).start()


def changed(data, at, value):
    data = bytearray(data)
    data[at] = value
    return bytes(data)


def without_jfif(data):
    at = data.index(b"\xff\xe0")
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2:at + 4], "big"):]


def with_ids(data, ids):
    """Gives the components other ids, in the frame's and all scans' headers."""
    out, at, old = bytearray(data), 2, []
    while at < len(out) - 3:
        if out[at] != 0xFF or out[at + 1] in (0x00, 0xFF, *range(0xD0, 0xDA)):
            at += 1
            continue
        marker, length = out[at + 1], int.from_bytes(out[at + 2:at + 4], "big")
        if marker in (0xC0, 0xC1, 0xC2):
            for i in range(out[at + 9]):
                old.append(out[at + 10 + 3 * i])
                out[at + 10 + 3 * i] = ids[i]
        if marker == 0xDA:
            for i in range(out[at + 4]):
                out[at + 5 + 2 * i] = ids[old.index(out[at + 5 + 2 * i])]
        at += 2 + length
    return bytes(out)


def with_dnl(data):
    """Moves the height from the frame's header to a DNL marker behind the first scan."""
    at = frame_at(data)
    height = data[at + 5:at + 7]
    return data[:at + 5] + b"\0\0" + data[at + 7:-2] + b"\xff\xdc\0\4" + height + data[-2:]


def kinds():
    """Yields each file's name and bytes."""
    for size in SIZES:
        pixels, name = picture(*size), "%dx%d" % size
        for sampling, factors in SAMPLINGS.items():
            for mode, arguments in MODES.items():
                if mode in ("reversed", "pair", "dclast", "spectral", "approx") and size not in [(17, 33), (31, 9), (227, 149)]:
                    continue
                yield f"ycc_{sampling}_{mode}_{name}", cjpeg(pixels, "-sample", factors, *arguments)
        for mode in ("base", "prog"):
            for sampling in ("1x1", "2x2", "2x1"):
                yield f"grey_{sampling}_{mode}_{name}", cjpeg(pixels, "-grayscale", "-sample", sampling, *MODES[mode])
        for sampling in ("444", "422", "420"):
            for mode in ("base", "ones", "prog"):
                yield f"rgb_{sampling}_{mode}_{name}", cjpeg(pixels, "-rgb", "-sample", SAMPLINGS[sampling], *MODES[mode])
        for sampling, s in {"1": [(1, 1)] * 4, "22112": [(2, 2), (1, 1), (1, 1), (2, 2)], "2111": [(2, 1), (1, 1), (1, 1), (2, 1)],
                            "22": [(2, 2), (1, 1), (1, 1), (1, 1)]}.items():
            for adobe in (None, 0, 2):
                space = {None: "cmyknone", 0: "cmyk", 2: "ycck"}[adobe]
                planes = four(pixels)
                yield f"{space}_{sampling}_base_{name}", encode(planes, s, adobe=adobe)
                yield f"{space}_{sampling}_ones_{name}", encode(planes, s, adobe=adobe, scans=[[0], [1], [2], [3]])
                yield f"{space}_{sampling}_restart_{name}", encode(planes, s, adobe=adobe, restart=2)
        for mode in ("base", "ones", "prog"):
            for sampling in ("444", "420"):
                yield f"arithmetic_{sampling}_{mode}_{name}", cjpeg(
                    pixels, "-arithmetic", "-sample", SAMPLINGS[sampling], *MODES[mode])

    for size in [(17, 33), (227, 149), (40, 40)]:
        pixels, name = picture(*size), "%dx%d" % size
        for sampling in ("444", "422", "440", "420", "411", "finer21"):
            for mode in ("base", "ones", "prog", "approx"):
                for restart in ("1", "1B", "3B"):
                    yield f"restart{restart}_{sampling}_{mode}_{name}", cjpeg(
                        pixels, "-sample", SAMPLINGS[sampling], "-restart", restart, *MODES[mode])
        for sampling in ("444", "422", "420"):
            for mode in ("base", "prog"):
                file = cjpeg(pixels, "-sample", SAMPLINGS[sampling], *MODES[mode])
                optimized = cjpeg(pixels, "-sample", SAMPLINGS[sampling], "-optimize", *MODES[mode])
                tail = f"{sampling}_{mode}_{name}"
                yield f"optimized_{tail}", optimized
                yield f"nojfif_{tail}", without_jfif(file)
                yield f"ids012_{tail}", with_ids(without_jfif(file), [0, 1, 2])
                yield f"idsrgb_{tail}", with_ids(without_jfif(file), [82, 71, 66])
                yield f"idsrgbjfif_{tail}", with_ids(file, [82, 71, 66])
                yield f"ids345_{tail}", with_ids(without_jfif(file), [3, 4, 5])
                yield f"ids321_{tail}", with_ids(without_jfif(file), [3, 2, 1])
                adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"
                yield f"jfifadobe0_{tail}", file[:20] + adobe + b"\0" + file[20:]
                yield f"jfifadobe1_{tail}", file[:20] + adobe + b"\1" + file[20:]
                yield f"adobe1_{tail}", file[:2] + adobe + b"\1" + without_jfif(file)[2:]
                yield f"adobe2_{tail}", file[:2] + adobe + b"\2" + without_jfif(file)[2:]
                if mode == "base":
                    at = frame_at(file)
                    yield f"extended_{tail}", changed(file, at + 1, 0xC1)
                    yield f"bits12_{tail}", changed(changed(file, at + 1, 0xC1), at + 4, 12)
                    yield f"lossless_{tail}", changed(file, at + 1, 0xC3)
                    yield f"hierarchical_{tail}", changed(file, at + 1, 0xC5)
                    yield f"dnl_{tail}", with_dnl(file)
                    yield f"noend_{tail}", file[:-2]
                    yield f"fill_{tail}", file[:at] + b"\xff\xff" + file[at:]
                    yield f"trailing_{tail}", file + b"\0rest\xff\xda\0\1\2\3"
                yield f"mpocut_{tail}", file + file[:len(file) * 2 // 3]
                yield f"mpo_{tail}", file + file
        for quality in ("1", "5", "30", "100"):
            for sampling in ("444", "422", "420"):
                yield f"q{quality}_{sampling}_{name}", cjpeg(pixels, "-quality", quality, "-sample", SAMPLINGS[sampling])
        planes = ycc(pixels)
        for s in ([(1, 1)] * 3, [(2, 2), (1, 1), (1, 1)], [(2, 1), (1, 1), (1, 1)]):
            tail = f"{s[0][0]}{s[0][1]}_{name}"
            yield f"own_base_{tail}", encode(planes, s)
            yield f"own_pairfirst_{tail}", encode(planes, s, scans=[[0, 1], [2]])
            yield f"own_ones_restart_{tail}", encode(planes, s, scans=[[0], [1], [2]], restart=3)
            yield f"own_disordered_{tail}", encode(planes, s, ids=[9, 4, 200])
            # What lies between the picture's edge and the last block's is the encoder's choice.
            yield f"own_padded_{tail}", encode(planes, s, pad="constant")
        yield f"two_components_{name}", encode(planes[:2], [(1, 1)] * 2)


# One of each way to go wrong, in 155 kB.
GOLDEN = """
ycc_444_base_31x9 ycc_420_base_17x33 ycc_422_base_17x33 ycc_440_prog_17x33 ycc_420_prog_31x9 ycc_411_base_31x9
ycc_420_ones_17x33 ycc_422_ones_31x9 ycc_440_ones_17x33 ycc_420_reversed_31x9 ycc_420_pair_17x33 ycc_420_approx_31x9
ycc_420_spectral_17x33 ycc_444_dclast_31x9 ycc_finer21_base_17x33 ycc_finer21_ones_31x9 ycc_finer22_prog_17x33
ycc_finer12_dclast_31x9 ycc_mixed1_base_17x33 ycc_mixed2_prog_31x9 ycc_mixed4_base_17x33 ycc_mixed4_prog_15x17
ycc_31_base_31x9 ycc_all22_ones_17x33 ycc_420_base_1x1 ycc_420_ones_7x5
grey_2x2_prog_17x33 rgb_444_base_31x9 rgb_420_ones_17x33 ycck_22112_base_17x33 ycck_22112_ones_31x9 cmyk_22_ones_17x33
cmyknone_1_restart_31x9 restart3B_420_ones_17x33 restart1B_420_prog_17x33 restart1_finer21_approx_17x33
arithmetic_420_base_17x33 bits12_444_base_17x33 lossless_444_base_17x33 hierarchical_444_base_17x33 dnl_444_base_17x33
idsrgbjfif_444_base_17x33 idsrgb_420_base_17x33 jfifadobe0_444_prog_17x33 adobe2_420_base_17x33 extended_422_base_17x33
noend_420_base_17x33 trailing_420_base_17x33 mpocut_422_prog_17x33 fill_444_base_17x33
own_padded_22_40x40 own_pairfirst_21_17x33 own_ones_restart_22_40x40 own_disordered_11_17x33 two_components_17x33
""".split()


def pillow(data):
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return np.asarray(opened.convert("RGB")), "ok"
    except Exception as error:  # noqa: BLE001 - what Pillow refuses is part of the result
        return None, type(error).__name__


def main():
    if shutil.which("cjpeg") is None:
        sys.exit("error: cjpeg is missing: on Debian `sudo apt install libjpeg-turbo-progs`")
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    golden = "--golden" in sys.argv
    rows = []
    for name, data in kinds():
        if golden and name not in GOLDEN:
            continue
        if data is None:
            rows.append((name, 0, 0, "cjpeg refused"))
            continue
        (out / f"{name}.jpg").write_bytes(data)
        pixels, said = pillow(data)
        if pixels is None:
            rows.append((name, 0, 0, said))
            continue
        rows.append((name, pixels.shape[1], pixels.shape[0], said))
        if golden:
            Image.fromarray(pixels).save(out / f"{name}.png", optimize=True)
        else:
            (out / f"{name}.rgb").write_bytes(pixels.tobytes())
    (out / "matrix.tsv").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))


if __name__ == "__main__":
    main()
