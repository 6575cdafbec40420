#!/usr/bin/env python3
"""Draws a picture, writes it as several hundred kinds of GIF, BMP and TIFF, and keeps what Pillow makes of them.

    matrix.py OUT [--golden]

Writes OUT/*.gif, *.bmp, *.tif, beside each its pixels by Pillow's `convert("RGB")` as PNG where it has some, and
OUT/matrix.tsv: file, what Pillow said (`ok`, or its refusal). With --golden only the kinds that tests/golden/formats
holds. Needs Pillow, numpy and imagecodecs; without --golden tifffile too. The same input gives the same bytes.
"""
import io
import pathlib
import struct
import sys
import warnings
import zlib

import imagecodecs
import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from drawn import picture  # noqa: E402

W, H = 19, 13
GOLDEN = """gif_87a gif_interlaced gif_local gif_small_frame gif_small_transparent gif_beyond_screen gif_animated
    gif_two_colours gif_short_palette gif_transparent gif_grey_ramp gif_cut gif_cut_late
    bmp_1 bmp_4 bmp_8 bmp_8_few bmp_16 bmp_565 bmp_24 bmp_24_topdown bmp_32 bmp_32_alpha bmp_os2_8 bmp_os2_24 bmp_rle8
    bmp_rle4 bmp_rle8_delta bmp_rle8_short bmp_24_cut bmp_rle8_cut bmp_os2v2_24
    tif_II_rgb8_plain tif_MM_rgb8_lzw_p2 tif_II_rgb8_deflate_tiles tif_II_rgb8_packbits tif_MM_rgb16_deflate_p2
    tif_II_rgb16_lzw_p2 tif_II_rgb8_deflate_planar tif_MM_rgb16_lzw_planar_tiles tif_II_rgba8_lzw tif_II_rgba8m_plain tif_MM_rgba16m_deflate
    tif_II_rgbx8_deflate_p2 tif_II_grey1_plain tif_MM_grey4_lzw tif_II_grey8_lzw_p2 tif_II_grey16_lzw tif_MM_grey16_plain
    tif_II_inverted8_lzw tif_MM_inverted1_packbits tif_II_palette8_lzw tif_II_palette4_deflate tif_MM_palette1_plain
    tif_II_la8_deflate tif_II_cmyk8_lzw tif_MM_cmyk16_deflate tif_big_rgb8_lzw tif_II_float32_plain tif_II_grey32_plain
    tif_II_signed16_plain tif_II_lab8_lzw tif_II_ycc8_plain tif_II_fill2_plain tif_jpeg_ycc420 tif_jpeg_rgb tif_jpeg_grey
    tif_jpeg_ycc_tiles tif_jpeg_cmyk tif_pages tif_orientation6 tif_zstd tif_group4 tif_cut tif_lzw_cut tif_cyclic""".split()


RGB = picture(W, H)
GREY = np.asarray(Image.fromarray(RGB).convert("L"))


def few(count):
    """The picture in `count` colours: numbers, and a palette of rows R, G, B."""
    image = Image.fromarray(RGB).quantize(count, dither=Image.Dither.NONE)
    palette = np.array(image.getpalette()[: 3 * count], np.uint8).reshape(-1, 3)
    return np.asarray(image).copy(), np.vstack([palette, np.zeros((count - len(palette), 3), np.uint8)])


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


# --- GIF ------------------------------------------------------------------------------------------


def gif_code(numbers, size):
    """LZW without compression: a clear code before the table grows."""
    clear, bits, out, count = 1 << size, 0, 0, 0
    codes = []
    for at, number in enumerate(numbers):
        if at % ((1 << size) - 2) == 0:
            codes.append(clear)
        codes.append(int(number))
    codes.append(clear + 1)
    data = bytearray()
    for code in codes:
        out |= code << count
        count += size + 1
        while count >= 8:
            data.append(out & 255)
            out >>= 8
            count -= 8
    if count:
        data.append(out & 255)
    blocks = b"".join(bytes([len(data[i : i + 255])]) + bytes(data[i : i + 255]) for i in range(0, len(data), 255))
    return bytes([size]) + blocks + b"\0"


def palette_bits(palette):
    return max(1, (len(palette) - 1).bit_length())


def padded(palette):
    bits = palette_bits(palette)
    return bytes(np.vstack([palette, np.zeros(((1 << bits) - len(palette), 3), np.uint8)]).astype(np.uint8).tobytes())


def gif_frame(numbers, left=0, top=0, local=None, interlaced=False, transparent=None, size=8, dispose=0):
    height, width = numbers.shape
    out = b""
    if transparent is not None or dispose:
        out += b"\x21\xf9\x04" + bytes([(dispose << 2) | (transparent is not None), 10, 0, transparent or 0, 0])
    flags = (0x40 if interlaced else 0) | (0x80 | (palette_bits(local) - 1) if local is not None else 0)
    out += b"," + struct.pack("<HHHHB", left, top, width, height, flags)
    out += padded(local) if local is not None else b""
    if interlaced:
        rows = [*range(0, height, 8), *range(4, height, 8), *range(2, height, 4), *range(1, height, 2)]
        numbers = numbers[rows]
    return out + gif_code(numbers.ravel(), size)


def gif(frames, palette=None, screen=(W, H), background=0, version=b"GIF89a"):
    flags = 0x70 | (0x80 | (palette_bits(palette) - 1) if palette is not None else 0)
    head = version + struct.pack("<HHBBB", *screen, flags, background, 0)
    return head + (padded(palette) if palette is not None else b"") + b"".join(frames) + b";"


def gifs():
    numbers, palette = few(250)
    two, two_palette = few(2)
    sixteen, sixteen_palette = few(16)
    _, other = few(64)
    small = numbers[2:9, 5:16]
    yield "gif_87a", gif([gif_frame(numbers)], palette, version=b"GIF87a")
    yield "gif_interlaced", gif([gif_frame(numbers, interlaced=True)], palette)
    yield "gif_interlaced_small", gif([gif_frame(small, 3, 4, interlaced=True)], palette)
    yield "gif_local", gif([gif_frame(numbers % 64, local=other)], palette)
    yield "gif_only_local", gif([gif_frame(numbers, local=palette)])
    yield "gif_no_palette", gif([gif_frame(numbers)])
    yield "gif_small_frame", gif([gif_frame(small, 3, 4)], palette, background=9)
    yield "gif_small_transparent", gif([gif_frame(small, 3, 4, transparent=17)], palette, background=9)
    yield "gif_small_local", gif([gif_frame(small % 64, 3, 4, local=other)], palette, background=9)
    yield "gif_small_transparent_local", gif([gif_frame(small % 64, 3, 4, local=other, transparent=5)], palette)
    yield "gif_beyond_screen", gif([gif_frame(numbers, 4, 6)], palette, screen=(10, 10))
    yield "gif_no_screen", gif([gif_frame(numbers)], palette, screen=(0, 0))
    yield "gif_animated", gif([gif_frame(numbers, dispose=2), gif_frame(small, 2, 2), gif_frame(small, 5, 5)], palette)
    yield "gif_two_colours", gif([gif_frame(two, size=2)], two_palette)
    yield "gif_sixteen", gif([gif_frame(sixteen, size=4)], sixteen_palette)
    yield "gif_short_palette", gif([gif_frame(numbers)], sixteen_palette)
    yield "gif_short_local", gif([gif_frame(numbers, local=sixteen_palette)], palette)
    yield "gif_transparent", gif([gif_frame(numbers, transparent=int(numbers[3, 3]))], palette)
    yield "gif_transparent_beyond", gif([gif_frame(small, 3, 4, transparent=255)], sixteen_palette)
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    yield "gif_grey_ramp", gif([gif_frame(GREY)], ramp)
    yield "gif_grey_ramp_short", gif([gif_frame(GREY)], ramp[:64])
    yield "gif_grey_local", gif([gif_frame(GREY, local=ramp)], palette)
    yield "gif_grey_small_local", gif([gif_frame(small, 3, 3, local=ramp[:16])], palette)
    whole = gif([gif_frame(numbers)], palette)
    yield "gif_no_trailer", whole[:-1]
    yield "gif_cut_late", whole[:-40]
    yield "gif_cut", whole[: len(whole) // 2]
    yield "gif_cut_palette", whole[:300]
    yield "gif_followed", whole + b"more" * 100
    comment = b"\x21\xfe\x05hello\0\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    yield "gif_comment", gif([comment, gif_frame(numbers)], palette)
    yield "gif_no_picture", gif([comment], palette)
    yield "gif_empty_frame", gif([gif_frame(numbers[:0])], palette)
    short = gif_frame(numbers[:9])
    yield "gif_too_few_rows", gif([short.replace(struct.pack("<HH", W, 9), struct.pack("<HH", W, H))], palette)
    long = gif_frame(numbers)
    yield "gif_too_many_rows", gif([long.replace(struct.pack("<HH", W, H), struct.pack("<HH", W, 9))], palette)
    image = Image.fromarray(RGB)
    for colours in (2, 3, 4, 5, 16, 17, 128, 256):
        for interlace in (0, 1):
            pillows = image.quantize(colours)
            yield f"gif_pillow_{colours}_{interlace}", saved(pillows, "GIF", interlace=interlace)
            yield f"gif_pillow_{colours}_{interlace}_t", saved(pillows, "GIF", interlace=interlace, transparency=1)
    yield "gif_pillow_grey", saved(image.convert("L"), "GIF")
    yield "gif_pillow_rgba", saved(Image.fromarray(np.dstack([RGB, GREY])), "GIF")
    frames = [image.quantize(32), image.rotate(40).quantize(64), image.rotate(80).quantize(16)]
    for disposal in (0, 1, 2, 3):
        yield f"gif_pillow_animated_{disposal}", saved(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=disposal)
    for width, height in ((1, 1), (2, 1), (1, 7), (255, 3), (300, 5)):
        yield f"gif_{width}x{height}", saved(Image.fromarray(picture(width, height)).quantize(256), "GIF")


# --- BMP ------------------------------------------------------------------------------------------


def rows_of(numbers, bits):
    """Rows of numbers, padded to four bytes."""
    out = []
    for row in numbers:
        if bits < 8:
            spread = ((row[:, None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8).ravel()
            data = np.packbits(spread).tobytes()
        else:
            data = row.tobytes()
        out.append(data + bytes(-len(data) % 4))
    return out


def bmp(rows, bits, palette=None, width=W, height=H, compression=0, masks=b"", header=40, down=False, colours=None, gap=0):
    body = b"".join(rows if down else rows[::-1]) if isinstance(rows, list) else rows
    table = b"" if palette is None else b"".join(bytes(c[::-1]) + (b"" if header == 12 else b"\0") for c in palette)
    colours = (0 if palette is None or len(palette) == 1 << bits else len(palette)) if colours is None else colours
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, -height if down else height, 1, bits, compression, len(body), 2835, 2835, colours, 0)
        if header > 40:
            info += (masks + bytes(200))[: header - 40]
            masks = b""
    offset = 14 + len(info) + len(masks) + len(table) + gap
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + info + masks + table + bytes(gap) + body


def rle(numbers, four, absolute=False, end=b"\0\x01"):
    out = bytearray()
    for row in numbers[::-1]:
        at = 0
        while at < len(row):
            run = 1
            while at + run < len(row) and row[at + run] == row[at] and run < 255:
                run += 1
            if absolute and run < 3 and len(row) - at >= 3:
                count = min(len(row) - at, 200, 11)
                chunk = [int(v) for v in row[at : at + count]]
                data = bytes(chunk) if not four else bytes((chunk[i] << 4) | (chunk[i + 1] if i + 1 < count else 0) for i in range(0, count, 2))
                out += bytes([0, count]) + data + bytes(len(data) % 2)
                at += count
            else:
                value = int(row[at])
                out += bytes([run, value << 4 | value if four else value])
                at += run
        out += b"\0\0"
    return bytes(out[:-2]) + end if end != b"" else bytes(out)


def packed16(shifts, widths, pixels=RGB):
    values = np.zeros(pixels.shape[:2], np.uint32)
    for channel, (shift, width) in enumerate(zip(shifts, widths)):
        values |= (pixels[..., channel].astype(np.uint32) >> (8 - width)) << shift
    return values.astype("<u2")


def bmps():
    two, two_palette = few(2)
    sixteen, sixteen_palette = few(16)
    many, palette = few(256)
    some, some_palette = few(100)
    bgr = np.ascontiguousarray(RGB[..., ::-1])
    bgrx = np.dstack([bgr, GREY])
    yield "bmp_1", bmp(rows_of(two, 1), 1, two_palette)
    yield "bmp_4", bmp(rows_of(sixteen, 4), 4, sixteen_palette)
    yield "bmp_8", bmp(rows_of(many, 8), 8, palette)
    yield "bmp_8_few", bmp(rows_of(some, 8), 8, some_palette)
    yield "bmp_8_beyond", bmp(rows_of(many, 8), 8, some_palette)
    yield "bmp_4_beyond", bmp(rows_of(sixteen, 4), 4, sixteen_palette[:10])
    yield "bmp_1_black_white", bmp(rows_of(two, 1), 1, [(0, 0, 0), (255, 255, 255)])
    yield "bmp_1_white_black", bmp(rows_of(two, 1), 1, [(255, 255, 255), (0, 0, 0)])
    yield "bmp_1_one_colour", bmp(rows_of(two, 1), 1, two_palette[:1])
    yield "bmp_8_grey", bmp(rows_of(GREY, 8), 8, [(i, i, i) for i in range(256)])
    yield "bmp_4_grey", bmp(rows_of(GREY >> 4, 4), 4, [(i * 17,) * 3 for i in range(16)])
    yield "bmp_4_dark_grey", bmp(rows_of(GREY >> 4, 4), 4, [(i,) * 3 for i in range(16)])
    yield "bmp_2", bmp(rows_of(GREY >> 6, 2), 2, [(i * 85,) * 3 for i in range(4)])
    yield "bmp_16", bmp(rows_of(packed16((10, 5, 0), (5, 5, 5)), 16), 16)
    for name, shifts, widths, masks in (
        ("565", (11, 5, 0), (5, 6, 5), (0xF800, 0x7E0, 0x1F)),
        ("555", (10, 5, 0), (5, 5, 5), (0x7C00, 0x3E0, 0x1F)),
        ("444", (8, 4, 0), (4, 4, 4), (0xF00, 0xF0, 0xF)),
        ("bgr565", (0, 5, 11), (5, 6, 5), (0x1F, 0x7E0, 0xF800)),
    ):
        for header in (40, 52, 56, 108, 124):
            mask = struct.pack("<IIII", *masks, 0)[: 12 if header == 40 else 16]
            data = bmp(rows_of(packed16(shifts, widths), 16), 16, compression=3, masks=mask, header=header)
            yield f"bmp_{name}" + ("" if header == 40 else f"_v{header}"), data
    yield "bmp_24", bmp(rows_of(bgr, 24), 24)
    yield "bmp_24_topdown", bmp(rows_of(bgr, 24), 24, down=True)
    yield "bmp_24_gap", bmp(rows_of(bgr, 24), 24, gap=30)
    yield "bmp_24_cut", bmp(rows_of(bgr, 24), 24)[:-200]
    yield "bmp_24_cut_padding", bmp(rows_of(bgr, 24), 24)[:-1]
    yield "bmp_8_cut", bmp(rows_of(many, 8), 8, palette)[:-50]
    yield "bmp_8_cut_palette", bmp(rows_of(many, 8), 8, palette)[:400]
    yield "bmp_24_followed", bmp(rows_of(bgr, 24), 24) + b"more" * 50
    yield "bmp_32", bmp(rows_of(bgrx, 32), 32)
    yield "bmp_32_topdown", bmp(rows_of(bgrx, 32), 32, down=True)
    for name, order, masks in (
        ("alpha", bgrx, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
        ("masks", bgrx, (0xFF0000, 0xFF00, 0xFF, 0)),
        ("rgba", np.dstack([RGB, GREY]), (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
        ("abgr", np.dstack([GREY, bgr]), (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
    ):
        order = np.ascontiguousarray(order)
        for header in (40, 56, 108, 124):
            mask = struct.pack("<IIII", *masks)[: 12 if header == 40 else 16]
            yield f"bmp_32_{name}" + ("" if header == 108 else f"_v{header}"), bmp(rows_of(order, 32), 32, compression=3, masks=mask, header=header)
    ten = ((RGB[..., 0].astype(np.uint32) << 22) | (RGB[..., 1].astype(np.uint32) << 12) | (RGB[..., 2].astype(np.uint32) << 2)).astype("<u4")
    yield "bmp_32_tenbits", bmp(rows_of(ten, 32), 32, compression=3, masks=struct.pack("<III", 0x3FF00000, 0xFFC00, 0x3FF))
    yield "bmp_os2_1", bmp(rows_of(two, 1), 1, two_palette, header=12)
    yield "bmp_os2_4", bmp(rows_of(sixteen, 4), 4, sixteen_palette, header=12)
    yield "bmp_os2_8", bmp(rows_of(many, 8), 8, palette, header=12)
    yield "bmp_os2_24", bmp(rows_of(bgr, 24), 24, header=12)
    yield "bmp_os2v2_24", bmp(rows_of(bgr, 24), 24, header=64)
    yield "bmp_os2v2_8", bmp(rows_of(many, 8), 8, palette, header=64)
    for header in (52, 56, 108, 124):
        yield f"bmp_24_v{header}", bmp(rows_of(bgr, 24), 24, header=header)
        yield f"bmp_8_v{header}", bmp(rows_of(many, 8), 8, palette, header=header)
    yield "bmp_rle8", bmp(rle(many, False, True), 8, palette, compression=1)
    yield "bmp_rle8_runs", bmp(rle(many, False), 8, palette, compression=1)
    yield "bmp_rle8_no_end", bmp(rle(many, False, end=b""), 8, palette, compression=1)
    yield "bmp_rle8_few", bmp(rle(some, False, True), 8, some_palette, compression=1)
    yield "bmp_rle8_grey", bmp(rle(GREY, False, True), 8, [(i, i, i) for i in range(256)], compression=1)
    yield "bmp_rle4", bmp(rle(sixteen, True, True), 4, sixteen_palette, compression=2)
    yield "bmp_rle4_runs", bmp(rle(sixteen, True), 4, sixteen_palette, compression=2)
    delta = b"".join([b"\x05\x21", b"\0\x02\x03\x02", b"\x04\x30", b"\0\0"]) * 3 + bytes([W, 64, 0, 0]) * 20
    yield "bmp_rle8_delta", bmp(delta, 8, palette, compression=1)
    yield "bmp_rle8_short_rows", bmp(b"\x05\x21\0\0" * H + b"\0\x01", 8, palette, compression=1)
    yield "bmp_rle8_long_runs", bmp(b"\x60\x21\0\0" * H + b"\0\x01", 8, palette, compression=1)
    yield "bmp_rle4_long_runs", bmp(b"\x60\x21\0\0" * H + b"\0\x01", 4, sixteen_palette, compression=2)
    yield "bmp_rle8_short", bmp(bytes([W, 33, 0, 0]) * 6 + b"\0\x01", 8, palette, compression=1)
    yield "bmp_rle8_cut", bmp(rle(many, False, True), 8, palette, compression=1)[:-100]
    yield "bmp_rle8_odd_offset", bmp(rle(many, False, True), 8, palette, compression=1, gap=1)
    yield "bmp_jpeg", bmp(saved(Image.fromarray(RGB), "JPEG"), 0, compression=4)
    yield "bmp_png", bmp(saved(Image.fromarray(RGB), "PNG"), 0, compression=5)
    image = Image.fromarray(RGB)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"bmp_pillow_{mode}", saved(image.convert(mode), "BMP")
    for width, height in ((1, 1), (2, 3), (5, 1), (301, 2)):
        yield f"bmp_{width}x{height}", saved(Image.fromarray(picture(width, height)), "BMP")


# --- TIFF -----------------------------------------------------------------------------------------

TYPES = {"B": 1, "H": 3, "I": 4, "Q": 16}


def bits_of(rows, bits):
    """Samples (height, width, samples) as bytes of each row."""
    if bits < 8:
        spread = ((rows[..., None].astype(np.uint8) >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8)
        return np.packbits(spread.reshape(len(rows), -1), axis=1).tobytes()
    return rows.tobytes()


def predicted(rows):
    out = rows.copy()
    out[:, 1:] = rows[:, 1:] - rows[:, :-1]
    return out


def pack(data, compression):
    if compression == "lzw":
        return imagecodecs.lzw_encode(data)
    if compression == "packbits":
        return imagecodecs.packbits_encode(data)
    return {"plain": lambda d: d, "deflate": lambda d: zlib.compress(d, 6), "old_deflate": lambda d: zlib.compress(d, 6)}[compression](data)


CODES = {"plain": 1, "lzw": 5, "deflate": 8, "old_deflate": 32946, "packbits": 32773}


def directory(tags, order, big, at):
    """A directory at this offset, and what it points to behind it."""
    count, entry, field = ("Q", 20, 8) if big else ("H", 12, 4)
    head = struct.pack(order + count, len(tags))
    behind = at + len(head) + entry * len(tags) + field
    entries, data = b"", b""
    for tag in sorted(tags):
        kind, values = tags[tag]
        packed = struct.pack(order + kind * len(values), *values)
        if len(packed) <= field:
            place = packed + bytes(field - len(packed))
        else:
            data += bytes((behind + len(data)) % 2)
            place = struct.pack(order + ("Q" if big else "I"), behind + len(data))
            data += packed
        entries += struct.pack(order + "HH" + ("Q" if big else "I"), tag, TYPES[kind], len(values)) + place
    return head + entries + bytes(field), data


def tiff(samples, photometric, bits, compression="plain", order="<", rows=8, tile=None, planar=False, predictor=False,
         extra=(), palette=None, big=False, tags=None, format=None, next=0):
    """Writes samples (height, width, samples) of uint8 or uint16."""
    height, width, count = samples.shape
    samples = samples.astype(np.uint8 if bits <= 8 else order + ("u2" if bits == 16 else samples.dtype.str[1:]))
    planes = [samples[..., i : i + 1] for i in range(count)] if planar else [samples]
    chunks = []
    for plane in planes:
        if tile:
            for y in range(0, height, tile[1]):
                for x in range(0, width, tile[0]):
                    part = plane[y : y + tile[1], x : x + tile[0]]
                    full = np.zeros((tile[1], tile[0], plane.shape[2]), samples.dtype)
                    full[: part.shape[0], : part.shape[1]] = part
                    chunks.append(full)
        else:
            chunks += [plane[y : y + rows] for y in range(0, height, rows)]
    chunks = [pack(bits_of(predicted(chunk) if predictor else chunk, bits), compression) for chunk in chunks]
    return file_of(chunks, width, height, photometric, [bits] * count, CODES[compression], order, rows, tile,
                   planar, predictor, extra, palette, big, tags, format)


def file_of(chunks, width, height, photometric, bits, code, order="<", rows=8, tile=None, planar=False, predictor=False,
            extra=(), palette=None, big=False, tags=None, format=None):
    start = 16 if big else 8
    offsets, body = [], b""
    for chunk in chunks:
        body += bytes(len(body) % 2)
        offsets.append(start + len(body))
        body += chunk
    body += bytes(len(body) % 2)
    word = "Q" if big else "I"
    entries = {
        256: ("I", [width]), 257: ("I", [height]), 258: ("H", bits), 259: ("H", [code]), 262: ("H", [photometric]),
        277: ("H", [len(bits)]), 284: ("H", [2 if planar else 1]),
    }
    if tile:
        entries |= {322: ("I", [tile[0]]), 323: ("I", [tile[1]]), 324: (word, offsets), 325: (word, [len(c) for c in chunks])}
    else:
        entries |= {273: (word, offsets), 278: ("I", [rows]), 279: (word, [len(c) for c in chunks])}
    if predictor:
        entries[317] = ("H", [2])
    if extra:
        entries[338] = ("H", list(extra))
    if palette is not None:
        entries[320] = ("H", [int(v) * 257 for v in np.asarray(palette).T.ravel()])
    if format:
        entries[339] = ("H", [format] * len(bits))
    entries |= tags or {}
    at = start + len(body)
    mark = {"<": b"II", ">": b"MM"}[order]
    head = mark + (struct.pack(order + "HHHQ", 43, 8, 0, at) if big else struct.pack(order + "HI", 42, at))
    return head + body + b"".join(directory(entries, order, big, at))


def kinds():
    """Name, samples, photometric interpretation, bits, further arguments."""
    two, two_palette = few(2)
    four, four_palette = few(4)
    sixteen, sixteen_palette = few(16)
    many, palette = few(256)
    alpha = np.clip(GREY[..., None].astype(int) + 20, 0, 255).astype(np.uint8)
    wide = RGB.astype(np.uint16) * 256 + RGB[..., ::-1]
    ink = np.dstack([255 - RGB, GREY[..., None] // 3])
    grey = GREY[..., None]
    multiplied = (RGB.astype(int) * alpha // 255).astype(np.uint8)
    yield "rgb8", RGB, 2, 8, {}
    yield "rgb16", wide, 2, 16, {}
    yield "rgba8", np.dstack([RGB, alpha]), 2, 8, {"extra": (2,)}
    yield "rgba8n", np.dstack([RGB, alpha]), 2, 8, {}
    yield "rgba8m", np.dstack([multiplied, alpha]), 2, 8, {"extra": (1,)}
    yield "rgba16m", np.dstack([multiplied, alpha]).astype(np.uint16) * 257, 2, 16, {"extra": (1,)}
    yield "rgba16", np.dstack([wide, alpha.astype(np.uint16) * 257]), 2, 16, {"extra": (2,)}
    yield "rgbx8", np.dstack([RGB, alpha]), 2, 8, {"extra": (0,)}
    yield "rgbxx8", np.dstack([RGB, alpha, alpha]), 2, 8, {"extra": (0, 0)}
    yield "rgbaxx8", np.dstack([RGB, alpha, grey, alpha]), 2, 8, {"extra": (2, 0, 0)}
    yield "rgbx16", np.dstack([wide, alpha.astype(np.uint16) * 257]), 2, 16, {"extra": (0,)}
    for name, photometric in (("grey", 1), ("inverted", 0)):
        yield f"{name}1", (grey >> 7), photometric, 1, {}
        yield f"{name}2", (grey >> 6), photometric, 2, {}
        yield f"{name}4", (grey >> 4), photometric, 4, {}
        yield f"{name}8", grey, photometric, 8, {}
        yield f"{name}16", grey.astype(np.uint16) * 3 % 401, photometric, 16, {}
    yield "grey32", grey.astype(np.uint32) * 2, 1, 32, {}
    yield "signed8", grey, 1, 8, {"format": 2}
    yield "signed16", grey.astype(np.uint16), 1, 16, {"format": 2}
    yield "float32", grey.astype(np.float32), 1, 32, {"format": 3}
    yield "float32rgb", RGB.astype(np.float32) / 255, 2, 32, {"format": 3}
    yield "la8", np.dstack([grey, alpha]), 1, 8, {"extra": (2,)}
    yield "la8m", np.dstack([grey, alpha]), 1, 8, {"extra": (1,)}
    yield "lx8", np.dstack([grey, alpha]), 1, 8, {"extra": (0,)}
    yield "two8", np.dstack([grey, alpha]), 1, 8, {}
    yield "la16", np.dstack([grey, alpha]).astype(np.uint16) * 257, 1, 16, {"extra": (2,)}
    yield "palette1", two[..., None], 3, 1, {"palette": two_palette}
    yield "palette2", four[..., None], 3, 2, {"palette": four_palette}
    yield "palette4", sixteen[..., None], 3, 4, {"palette": sixteen_palette}
    yield "palette8", many[..., None], 3, 8, {"palette": palette}
    yield "palettea8", np.dstack([many[..., None], alpha]), 3, 8, {"palette": palette, "extra": (2,)}
    yield "palette16", many[..., None].astype(np.uint16), 3, 16, {"palette": palette}
    yield "cmyk8", ink, 5, 8, {}
    yield "cmykx8", np.dstack([ink, alpha]), 5, 8, {"extra": (0,)}
    yield "cmyka8", np.dstack([ink, alpha]), 5, 8, {"extra": (2,)}
    yield "cmyk16", ink.astype(np.uint16) * 257, 5, 16, {}
    yield "ycc8", RGB, 6, 8, {"tags": {530: ("H", [1, 1])}}
    yield "lab8", RGB, 8, 8, {}
    yield "mask1", grey >> 7, 4, 1, {}
    yield "multi5", np.dstack([RGB, alpha, alpha]), 1, 8, {"extra": (0, 0, 0, 0)}


def tiffs():
    for order, mark in (("<", "II"), (">", "MM")):
        for name, samples, photometric, bits, more in kinds():
            for compression in CODES:
                label = f"tif_{mark}_{name}_{compression}"
                yield label, tiff(samples, photometric, bits, compression, order, **more)
                yield f"{label}_one", tiff(samples, photometric, bits, compression, order, rows=H, **more)
                yield f"{label}_tiles", tiff(samples, photometric, bits, compression, order, tile=(16, 16), **more)
                if samples.shape[2] > 1:
                    yield f"{label}_planar", tiff(samples, photometric, bits, compression, order, planar=True, **more)
                    yield f"{label}_planar_tiles", tiff(samples, photometric, bits, compression, order, planar=True, tile=(16, 32), **more)
                if compression in ("lzw", "deflate") and bits >= 8 and samples.dtype.kind == "u":
                    yield f"{label}_p2", tiff(samples, photometric, bits, compression, order, predictor=True, **more)
                    yield f"{label}_p2_tiles", tiff(samples, photometric, bits, compression, order, predictor=True, tile=(32, 16), **more)
    yield "tif_big_rgb8_lzw", tiff(RGB, 2, 8, "lzw", big=True)
    yield "tif_big_MM_rgb8_plain", tiff(RGB, 2, 8, order=">", big=True)
    yield "tif_II_fill2_plain", tiff(RGB, 2, 8, tags={266: ("H", [2])})
    yield "tif_II_fill2_grey1", tiff(GREY[..., None] >> 7, 1, 1, tags={266: ("H", [2])})
    for turn in range(9):
        yield f"tif_orientation{turn}", tiff(RGB, 2, 8, "lzw", tags={274: ("H", [turn])})
    large = tiff(RGB, 2, 8, tile=(256, 256))
    yield "tif_large_tile", large
    yield "tif_rows_beyond", tiff(RGB, 2, 8, "lzw", rows=H, tags={278: ("I", [2**32 - 1])})
    yield "tif_no_photometric", without(262)
    yield "tif_no_lengths", without(279)
    for name, compression in (("tif_cut", "plain"), ("tif_lzw_cut", "lzw"), ("tif_deflate_cut", "deflate"), ("tif_packbits_cut", "packbits")):
        yield name, moved_front(compression)
    yield "tif_cut_directory", tiff(RGB, 2, 8)[:-60]
    yield "tif_cyclic", cyclic()
    image = Image.fromarray(RGB)
    yield "tif_pages", saved(image, "TIFF", save_all=True, append_images=[image.rotate(90), image.convert("L")], compression="tiff_lzw")
    yield "tif_zstd", saved(image, "TIFF", compression="zstd")
    yield "tif_lzma", saved(image, "TIFF", compression="lzma")
    for compression in ("group3", "group4"):
        yield "tif_" + compression, saved(image.convert("1"), "TIFF", compression=compression)
    for mode in ("1", "L", "LA", "P", "I;16", "I", "F", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"):
        for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
            try:
                pillows = Image.fromarray(GREY.astype(np.uint16) * 2) if mode == "I;16" else image.convert(mode)
                yield f"tif_pillow_{mode.replace(';', '')}_{compression}", saved(pillows, "TIFF", compression=compression)
            except (ValueError, OSError):
                pass
    large = picture(96, 80)
    for name, mode, quality in (("ycc420", "YCbCr", 75), ("rgb", "RGB", 90), ("grey", "L", 80), ("cmyk", "CMYK", 90)):
        pillows = Image.fromarray(RGB).convert(mode)
        yield f"tif_jpeg_{name}", saved(pillows, "TIFF", compression="jpeg", quality=quality)
        pillows = Image.fromarray(large).convert(mode)
        yield f"tif_jpeg_{name}_large", saved(pillows, "TIFF", compression="jpeg", quality=quality, tiffinfo={278: 16})
    yield "tif_jpeg_ycc_tiles", jpeg_tiles(large, "YCbCr", 6, "4:2:0")
    yield "tif_jpeg_ycc444_tiles", jpeg_tiles(large, "YCbCr", 6, "4:4:4")
    yield "tif_jpeg_ycc422_tiles", jpeg_tiles(large, "YCbCr", 6, "4:2:2")
    yield "tif_jpeg_grey_tiles", jpeg_tiles(large, "L", 1, "4:4:4")
    yield "tif_jpeg_progressive", jpeg_tiles(large, "YCbCr", 6, "4:2:0", progressive=True)


def without(tag):
    """A file of one strip that lacks a tag: it is renamed to a private one."""
    data = tiff(GREY[..., None], 0, 8, rows=H)
    entry = struct.pack("<HH", tag, {262: 3, 279: 4}[tag])
    at = data.rindex(entry)
    return data[:at] + struct.pack("<H", 65000) + data[at + 2 :]


def moved_front(compression):
    """A file that is cut within its last strip, behind the directory."""
    whole = tiff(RGB, 2, 8, compression, rows=H)
    at = struct.unpack("<I", whole[4:8])[0]
    strip, tail = whole[8:at], whole[at:]
    # Offsets move: written again with the strip at the end.
    entries = {256: ("I", [W]), 257: ("I", [H]), 258: ("H", [8, 8, 8]), 259: ("H", [CODES[compression]]), 262: ("H", [2]),
               273: ("I", [0]), 277: ("H", [3]), 278: ("I", [H]), 279: ("I", [len(strip)])}
    for _ in range(2):
        head, data = directory(entries, "<", False, 8)
        entries[273] = ("I", [8 + len(head) + len(data)])
    return b"II" + struct.pack("<HI", 42, 8) + head + data + strip[: len(strip) // 2]


def cyclic():
    """The next directory is the first one."""
    whole = tiff(RGB, 2, 8, "lzw")
    at = struct.unpack("<I", whole[4:8])[0]
    count = struct.unpack("<H", whole[at : at + 2])[0]
    link = at + 2 + 12 * count
    return whole[:link] + struct.pack("<I", at) + whole[link + 4 :]


def jpeg_tiles(pixels, mode, photometric, subsampling, progressive=False):
    tiles = []
    for y in range(0, pixels.shape[0], 32):
        for x in range(0, pixels.shape[1], 32):
            part = np.zeros((32, 32, 3), np.uint8)
            cut = pixels[y : y + 32, x : x + 32]
            part[: cut.shape[0], : cut.shape[1]] = cut
            image = Image.fromarray(part).convert("L" if mode == "L" else "RGB")
            tiles.append(saved(image, "JPEG", quality=85, subsampling=subsampling, progressive=progressive))
    factors = {"4:2:0": [2, 2], "4:4:4": [1, 1], "4:2:2": [2, 1]}[subsampling]
    tags = {530: ("H", factors)} if photometric == 6 else {}
    count = 1 if mode == "L" else 3
    return file_of(tiles, pixels.shape[1], pixels.shape[0], photometric, [8] * count, 7, tile=(32, 32), tags=tags)


def tifffiles():
    """By another writer."""
    import tifffile

    rng = np.random.default_rng(3)
    for photometric, array in (("rgb", RGB), ("minisblack", GREY), ("miniswhite", GREY), ("rgb", RGB.astype(np.uint16) * 257), ("minisblack", GREY.astype(np.uint16)),
                               ("minisblack", rng.random((H, W)).astype(np.float32)), ("rgb", np.dstack([RGB, GREY]))):
        for compression in (None, "lzw", "zlib", "packbits", "zstd", "jpeg"):
            for layout in ({}, {"tile": (16, 16)}, {"rowsperstrip": 5}, {"predictor": True}, {"bigtiff": True}, {"byteorder": ">"}, {"planarconfig": "separate"}):
                file = io.BytesIO()
                try:
                    data = array.transpose(2, 0, 1) if layout.get("planarconfig") and array.ndim == 3 else array
                    tifffile.imwrite(file, data, photometric=photometric, compression=compression, **layout)
                except Exception:
                    continue
                label = "_".join([photometric, array.dtype.str[1:], str(array.shape[2:]).strip("(),"), str(compression), *map(str, layout)])
                yield f"tif_by_tifffile_{label}", file.getvalue()


def main():
    out, golden = pathlib.Path(sys.argv[1]), "--golden" in sys.argv
    out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    lines, seen = [], set()
    every = [gifs(), bmps(), tiffs()] + ([] if golden else [tifffiles()])
    for group in every:
        for name, data in group:
            if golden and name not in GOLDEN:
                continue
            assert name not in seen, name
            seen.add(name)
            path = out / f"{name}.{name[:3]}"
            path.write_bytes(data)
            try:
                with Image.open(path) as image:
                    image.convert("RGB").save(out / f"{name}.png", optimize=True)
                said = "ok"
            except Exception as error:
                said = type(error).__name__
            lines.append(f"{path.name}\t{said}\n")
    assert not golden or seen == set(GOLDEN), set(GOLDEN) - seen
    (out / "matrix.tsv").write_text("".join(lines))


main()
