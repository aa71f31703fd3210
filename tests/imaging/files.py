"""Owns image files in memory, sound ones and traps; does not test."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

WHITE = b"\xff\xff\xff"


def encode(image: Image.Image, format_name: str, **options: object) -> bytes:
    """The file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def picture(width: int = 37, height: int = 26, seed: int = 0) -> Image.Image:
    """Smooth colours with some grain, so that lossy formats keep it recognisable and no two corners are alike."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def in_mode(mode: str) -> Image.Image:
    """The picture in one of Pillow's modes, using its whole range."""
    image = picture()
    grey = np.asarray(image.convert("L"))
    if mode in ("I;16", "I"):
        return Image.fromarray(grey.astype(np.uint16) * 257 if mode == "I;16" else grey.astype(np.int32) * 257)
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255)
    if mode in ("LA", "RGBA"):
        alpha = Image.fromarray(np.asarray(picture(seed=1).convert("L")))
        colours = image.convert(mode[:-1])
        colours.putalpha(alpha)
        return colours
    return Image.merge("LAB", image.split()) if mode == "LAB" else image.convert(mode)


def with_frames(format_name: str, **options: object) -> bytes:
    """Three frames, the first of them the picture."""
    return encode(picture(), format_name, save_all=True, append_images=[picture(seed=2), picture(seed=3)], **options)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, extra: bytes = b"", rows: bytes = b"\0" + WHITE) -> bytes:
    """A PNG in RGB that announces a size, with further chunks before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def gif(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    """A GIF whose one frame holds a single white pixel's worth of data."""
    header = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\0\0\0" + WHITE
    return header + b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x4c\x01\0;"


def bmp(width: int, height: int, rows: bytes = b"") -> bytes:
    """A BMP with 24 bits a pixel; with a negative height the rows go from the top down."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(rows), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + info + rows


def tiff(width: int, height: int, tags: dict[int, tuple[int, int, int]] | None = None) -> bytes:
    """A grey TIFF that announces a size; `tags` are (type, count, value or offset) by number."""
    every = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    every |= {273: (4, 1, 8), 277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, width * height % 2**32)} | (tags or {})
    entries = b"".join(struct.pack("<HHII", tag, *value) for tag, value in sorted(every.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(every)) + entries + bytes(4)


def webp(width: int, height: int) -> bytes:
    """An animated WebP that announces a canvas and draws one pixel on it."""
    pixel = encode(Image.new("RGB", (1, 1), "white"), "WEBP")[12:]
    frame = bytes(12) + struct.pack("<I", 100)[:3] + b"\0" + pixel
    canvas = struct.pack("<I", 2) + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    chunks = b"VP8X" + struct.pack("<I", 10) + canvas + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    chunks += b"ANMF" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def jpeg_of_many_scans(extra: int, size: tuple[int, int] = (64, 64)) -> bytes:
    """A progressive JPEG whose last scan stands there `extra` more times."""
    data = encode(Image.new("L", size, 128), "JPEG", progressive=True)
    end = data.rindex(b"\xff\xd9")
    return data[:end] + data[data.rindex(b"\xff\xda") : end] * extra + data[end:]
