"""Owns attacks on decoding: pictures that are vast, slow or all header; does not make the files."""

from collections.abc import Callable

from tests.attack import husks, traps
from tests.attack.registry import Target, attack, hammer
from tests.attack.report import Report
from tests.attack.wire import request


@attack("32 WebP of 50 MP in JSON, one a time", traps.json_of_webps)
async def now_and_then(target: Target, report: Report) -> None:
    """One request every five seconds, as the issue of it had it: here one in each of its windows."""
    await hammer(target, report, [request(body=traps.json_of_webps())], clients=1, per_s=0.2)


@attack("32 WebP of 50 MP in JSON, 4 a second", traps.json_of_webps)
async def often(target: Target, report: Report) -> None:
    """The same as a flood, which is still only 7 kB a second."""
    await hammer(target, report, [request(body=traps.json_of_webps())], clients=16, per_s=4)


def _enter(name: str, files: Callable[[], tuple[bytes, ...]], per_s: float) -> None:
    @attack(name, files)
    async def run(target: Target, report: Report) -> None:
        await hammer(target, report, [request(body=file) for file in files()], clients=8, per_s=per_s)

    run.__doc__ = files.__doc__


def _flat() -> tuple[bytes, ...]:
    """Rows of black, straight on and in seven passes."""
    return traps.flat_png(), traps.interlaced_png()


for _name, _files, _per_s in (
    ("WebP of 38 bytes, raw", traps.webps, 8),
    ("PNG of 120 MP and interlaced", _flat, 4),
    ("GIF of 118 MP", traps.gifs, 8),
    ("JPEG of many scans", traps.progressive_jpegs, 4),
    ("BMP of short runs", traps.bmps, 4),
    ("TIFF of 49 MP", traps.tiffs, 4),
    ("AVIF of 16 and 268 MP", traps.avifs, 8),
    ("canvases without pixels", traps.others, 8),
    ("PNG of empty chunks, 15 MB", husks.pngs, 3),
    ("JPEG of empty segments, 15 MB", husks.jpegs, 3),
    ("GIF of empty blocks, 15 MB", husks.gifs, 3),
    ("TIFF of odd directories", husks.tiffs, 6),
    ("EXIF that loops", husks.exifs, 20),
    ("WebP and AVIF of empty boxes", husks.boxes, 3),
):
    _enter(_name, _files, _per_s)
