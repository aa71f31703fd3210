"""Owns a TIFF's first directory; does not decode."""

import struct
from typing import Final, NamedTuple

from app.errors import CorruptImage
from app.imaging.headers.fields import Bytes, Header

_MAX_TAGS: Final = 1024  # photographs have about twenty, raw ones a hundred
_PALETTE: Final = 3
_MAX_NUMBERS: Final = 8  # a pixel has no more samples
# Those of whole numbers.
_TYPES: Final = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q"}
_CODINGS: Final = {
    1: "plain",
    2: "fax",
    3: "fax",
    4: "fax",
    5: "LZW",
    6: "old JPEG",
    7: "JPEG",
    8: "deflate",
    32773: "PackBits",
    32946: "deflate",
}

WIDTH: Final = 256
HEIGHT: Final = 257
BITS: Final = 258
COMPRESSION: Final = 259
PHOTOMETRIC: Final = 262
ORIENTATION: Final = 274
CHANNELS: Final = 277
ROWS_IN_STRIP: Final = 278
PLANAR: Final = 284
TILE_WIDTH: Final = 322
TILE_HEIGHT: Final = 323
EXTRA_SAMPLES: Final = 338
SAMPLE_FORMAT: Final = 339
SUBSAMPLING: Final = 530
ICC_PROFILE: Final = 34675


class Layout(NamedTuple):
    """How numbers are written: struct's mark of the byte order, and the wider numbers of BigTIFF."""

    order: str
    big: bool

    @property
    def entry(self) -> struct.Struct:
        """Tag, type, count, then the value or its place."""
        return struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))

    @property
    def number(self) -> str:
        """A place in the file."""
        return self.order + ("Q" if self.big else "I")

    @property
    def tags(self) -> str:
        """How many tags there are."""
        return self.order + ("Q" if self.big else "H")


class Directory(NamedTuple):
    """The first directory: where it lies, and its tags' entries, each as `Layout.entry` unpacks it."""

    data: Bytes
    layout: Layout
    at: int
    entries: dict[int, tuple[int, int, int, bytes]]

    def values(self, tag: int) -> Bytes:
        """The bytes of a tag; none where it is missing or of a type that is not of whole numbers."""
        _, kind, count, inline = self.entries.get(tag, (0, 0, 0, b""))
        length = count * struct.calcsize("=" + _TYPES[kind]) if kind in _TYPES else 0
        if length <= len(inline):
            return inline[:length]
        (at,) = struct.unpack(self.layout.number, inline)
        return self.data[at : at + length]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The first few of a tag's values; none where `values` has none."""
        values = self.values(tag)
        kind = _TYPES[self.entries[tag][1]] if len(values) else "B"
        count = min(len(values) // struct.calcsize("=" + kind), _MAX_NUMBERS)
        return struct.unpack_from(f"{self.layout.order}{count}{kind}", values)

    def number(self, tag: int, default: int = 0) -> int:
        """The first of a tag's values."""
        return (*self.numbers(tag), default)[0]


def layout(data: Bytes) -> Layout:
    """From the first four bytes."""
    order = "<" if bytes(data[:2]) == b"II" else ">"
    return Layout(order, big=struct.unpack_from(order + "H", data, 2)[0] == 43)


def directory(data: Bytes) -> Directory:
    """Raises CorruptImage, or struct.error where the bytes end."""
    form = layout(data)
    (at,) = struct.unpack_from(form.number, data, 8 if form.big else 4)
    (count,) = struct.unpack_from(form.tags, data, at)
    if count > _MAX_TAGS:
        raise CorruptImage(f"the TIFF image has {count} tags; more than {_MAX_TAGS} are not read")
    start, entry = at + (8 if form.big else 2), form.entry
    block = data[start : start + count * entry.size]
    whole = len(block) - len(block) % entry.size
    entries = {fields[0]: fields for fields in entry.iter_unpack(block[:whole])}
    return Directory(data, form, at, entries)


def parse(data: Bytes) -> Header:
    """Raises CorruptImage, or struct.error where the bytes end."""
    tags = directory(data)
    width, height, samples = tags.number(WIDTH), tags.number(HEIGHT), tags.number(CHANNELS, 1)
    tile_width, tile_height = tags.number(TILE_WIDTH), tags.number(TILE_HEIGHT)
    rows = max(tags.number(ROWS_IN_STRIP, height), 1)
    meaningless = tags.numbers(EXTRA_SAMPLES).count(0)
    return Header(
        "TIFF",
        width,
        height,
        3 if tags.number(PHOTOMETRIC) == _PALETTE else samples - meaningless,
        tags.number(BITS, 1),
        coding=_CODINGS.get(tags.number(COMPRESSION, 1), "other"),
        samples=samples,
        coded_px=max(tile_width, width) * max(tile_height, height),
        band_px=2 * max(tile_width, width) * tile_height,
        pieces=width * height // max(tile_width * tile_height, 1) if tile_height else height // rows,
        file_bytes=len(data),
    )
