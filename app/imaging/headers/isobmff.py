"""Owns the boxes of AVIF and HEIF files; does not decode."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from app.errors import CorruptImage
from app.imaging.headers.fields import Bytes, Header

_MAX_BOXES: Final = 512  # in one place; a property of 120 megapixels in tiles has one for each kind of tile
_MAX_ITEMS: Final = 4096
_AVIF: Final = {b"avif", b"avis"}
_HEIF: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


class Box(NamedTuple):
    """A box's kind; its content lies at data[start:end]."""

    kind: bytes
    start: int
    end: int


def boxes(data: Bytes, at: int, end: int) -> Iterator[Box]:
    """Those side by side. Raises CorruptImage for more than any picture has."""
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        stop = min(at + length, end) if length else end
        if stop < start:
            raise CorruptImage("the image has a box that is shorter than its own header")
        yield Box(kind, start, stop)
        at = stop
    raise CorruptImage(f"the image has more than {_MAX_BOXES} boxes in one place")


def box(data: Bytes, kind: bytes, at: int, end: int) -> Box:
    """The first of its kind. Raises CorruptImage where there is none."""
    for found in boxes(data, at, end):
        if found.kind == kind:
            return found
    raise CorruptImage(f"the image has no box {kind.decode()!r}")


def brand(data: Bytes) -> str | None:
    """AVIF, HEIF or None, by the brands that the file says it is compatible with."""
    if bytes(data[4:8]) != b"ftyp":
        return None
    listed = bytes(data[8 : min(int.from_bytes(data[:4], "big"), 256)])
    brands = {listed[at : at + 4] for at in range(0, len(listed), 4)}
    return "AVIF" if brands & _AVIF else "HEIF" if brands & _HEIF else None


def parse(data: Bytes) -> Header:
    """The primary item's size. Raises CorruptImage, or struct.error or IndexError where the bytes end."""
    meta = box(data, b"meta", 0, len(data))
    inside = meta.start + 4, meta.end
    properties = box(data, b"iprp", *inside)
    listed = list(boxes(data, *box(data, b"ipco", *properties[1:])[1:]))
    primary = _item_id(data, box(data, b"pitm", *inside))
    sizes, bits = [(0, 0)], 8
    for index in _associated(data, box(data, b"ipma", *properties[1:]), primary):
        kind, start, _ = listed[index - 1]
        if kind == b"ispe":
            sizes.append(struct.unpack_from(">II", data, start + 4))
        elif kind == b"clap":  # what is shown of it: width and height, each a fraction
            shown = struct.unpack_from(">4I", data, start)
            sizes.append((shown[0] // max(shown[1], 1), shown[2] // max(shown[3], 1)))
        elif kind == b"pixi":
            bits = data[start + 5]
    width, height = sizes[-1]
    # What is not the picture itself, such as a tile, may not cost more than it.
    coded = max(
        w * h for kind, start, _ in listed if kind == b"ispe" for w, h in [struct.unpack_from(">II", data, start + 4)]
    )
    return Header(brand(data) or "HEIF", width, height, bits=bits, coded_px=coded, file_bytes=len(data))


def items(data: Bytes) -> Iterator[tuple[int, int]]:
    """Where each piece of the items' data begins and ends, of those that lie in the file itself. Raises as `parse`."""
    meta = box(data, b"meta", 0, len(data))
    start = box(data, b"iloc", meta.start + 4, meta.end).start
    version, sizes = data[start], struct.unpack_from(">H", data, start + 4)[0]
    offset_size, length_size, base_size, index_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    at = start + 6

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(data[at - size : at], "big")

    for _ in range(min(number(4 if version == 2 else 2), _MAX_ITEMS)):
        number(4 if version == 2 else 2)
        in_file = not version or number(2) & 15 == 0
        number(2)
        base = number(base_size)
        for _ in range(min(number(2), _MAX_ITEMS)):
            number(index_size if version else 0)
            offset = base + number(offset_size)
            length = number(length_size)
            if in_file:
                yield offset, offset + length


def _item_id(data: Bytes, pitm: Box) -> int:
    wide = data[pitm.start] > 0
    return int(struct.unpack_from(">I" if wide else ">H", data, pitm.start + 4)[0])


def _associated(data: Bytes, ipma: Box, item: int) -> list[int]:
    """The numbers, from 1 on, of the properties of an item; without those that are 0, which is none."""
    wide_id, wide_index = data[ipma.start] > 0, data[ipma.start + 3] & 1
    (count,) = struct.unpack_from(">I", data, ipma.start + 4)
    at, entry = ipma.start + 8, struct.Struct(">IB" if wide_id else ">HB")
    for _ in range(min(count, _MAX_ITEMS)):
        item_id, associations = entry.unpack_from(data, at)
        at += entry.size
        if item_id == item:
            numbers = struct.unpack_from(f">{associations}{'H' if wide_index else 'B'}", data, at)
            mask = 0x7FFF if wide_index else 0x7F
            return [number & mask for number in numbers if number & mask]
        at += associations * (2 if wide_index else 1)
    raise CorruptImage("the image says nothing of its primary item")
