"""Owns the request bodies: photographs as JPEG files in a folder; does not send them."""

import io
import random
from pathlib import Path
from typing import Final

import skimage.data
from PIL import Image

# Photographs that scikit-image carries in its package, so that nothing is downloaded.
_SOURCES: Final = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "hubble_deep_field.jpg")
_CROPS: Final = 4  # of each
_SIZE_PX: Final = (500, 375)  # what most ImageNet photographs have
_QUALITY: Final = 90
_MOST: Final = 100  # of the user's own: they are all held in the load generator's memory


def write_photographs(target: Path, source: Path | None = None) -> int:
    """Writes 000.jpg, 001.jpg … into `target` and returns how many; from `source`, a folder of JPEG files, if given.

    Raises ValueError if that folder holds none.
    """
    bodies = _make() if source is None else _read(source)
    for number, body in enumerate(bodies):
        (target / f"{number:03d}.jpg").write_bytes(body)
    return len(bodies)


def enlarge(source: Path, target: Path, size_px: tuple[int, int]) -> int:
    """Writes the photographs of `source` into `target` as if a better camera had taken them; returns how many."""
    files = sorted(source.glob("*.jpg"))
    for path in files:
        with Image.open(path) as image:
            picture = image.resize(size_px, Image.Resampling.BICUBIC)
        picture.save(target / path.name, "JPEG", quality=_QUALITY)
    return len(files)


def _make() -> list[bytes]:
    """Different crops of each source, the same at every call."""
    chance = random.Random(20261123)
    folder = Path(skimage.data.__file__).parent
    bodies = []
    for name in _SOURCES:
        with Image.open(folder / name) as image:
            picture = image.convert("RGB")
        for _ in range(_CROPS):
            width = min(picture.width, picture.height * 4 / 3) * chance.uniform(0.7, 1.0)
            height = width * 3 / 4
            left, top = chance.uniform(0, picture.width - width), chance.uniform(0, picture.height - height)
            box = (left, top, left + width, top + height)
            buffer = io.BytesIO()
            picture.resize(_SIZE_PX, Image.Resampling.LANCZOS, box=box).save(buffer, "JPEG", quality=_QUALITY)
            bodies.append(buffer.getvalue())
    return bodies


def _read(folder: Path) -> list[bytes]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not paths:
        raise ValueError(f"{folder} holds no JPEG file")
    return [path.read_bytes() for path in paths[:_MOST]]
