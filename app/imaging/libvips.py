"""Owns decoding by libvips: large pictures shrunk as they are read, and TIFFs; does not choose what comes here."""

import os
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.errors import CorruptImage
from app.imaging.colour import Raster, floats_to_bytes
from app.imaging.headers.fields import Header

_LOADERS: Final = {"PNG": "pngload_buffer", "WEBP": "webpload_buffer", "TIFF": "tiffload_buffer"}
_WHITE: Final = {"uchar": 0xFF, "ushort": 0xFFFF, "uint": 0xFFFFFFFF}
_MAX_CHANNELS: Final = 4


@cache
def _vips() -> Any:
    """Imported on first use: it costs 20 MB and most services never see a picture that needs it."""
    os.putenv("VIPS_CONCURRENCY", "1")  # read when the library starts; there are as many decoding threads as cores
    os.putenv("VIPS_WARNING", "0")  # texts made of strangers' bytes, else written to stderr
    import pyvips

    pyvips.cache_set_max(0)
    return pyvips


def load(data: bytes, header: Header, at_least: tuple[int, int] | None) -> Raster:
    """Grey, RGB, either with alpha, or CMYK; deep samples keep their high byte.

    With `at_least` (height, width), in pixels, shrunk to not less on either side, over white.
    Raises CorruptImage.
    """
    try:
        return _load(data, header, at_least)
    except _vips().Error as error:
        reason = str(error).strip().rsplit("\n", 1)[-1].strip()
        raise CorruptImage(f"the {header.format} image cannot be decoded: {reason}") from error


def _load(data: bytes, header: Header, at_least: tuple[int, int] | None) -> Raster:
    options: dict[str, Any] = {"access": "sequential", "fail_on": "error"}
    factor = _factor(header, at_least)
    if header.format == "WEBP" and factor > 1:
        options["scale"] = 1 / factor
    image = getattr(_vips().Image, _LOADERS[header.format])(data, **options)
    if (image.height, image.width) != (header.height, header.width) and "scale" not in options:
        raise CorruptImage("the image is of another size than its header says")
    if header.format == "TIFF" and image.bands > header.channels:  # by samples that the file gives no meaning
        image = image[: header.channels]
    if image.interpretation in ("lab", "labs", "xyz"):
        image = image.colourspace("srgb")
    if factor > 1:
        image = image.flatten(background=_WHITE.get(image.format, 1.0)) if image.hasalpha() else image
        image = image if "scale" in options else _shrunk(image, factor)
    if image.bands > _MAX_CHANNELS:
        raise CorruptImage(f"a {header.format} image of this kind is not read: {image.bands} channels")
    pixels = _in_bytes(image)
    return Image.fromarray(pixels, "CMYK") if image.interpretation == "cmyk" else pixels


def _shrunk(image: Any, factor: int) -> Any:
    if image.format not in _WHITE:  # floating point, whose scale is told by its largest value: only means keep that
        return image.shrink(factor, factor)
    # By nearly the factor, so that no part of a row or column is left over.
    columns, rows = round(image.width / factor), round(image.height / factor)
    return image.shrink(image.width / columns, image.height / rows)


def _factor(header: Header, at_least: tuple[int, int] | None) -> int:
    if at_least is None:
        return 1
    return max(min(header.height // at_least[0], header.width // at_least[1]), 1)


def _in_bytes(image: Any) -> npt.NDArray[np.uint8]:
    shape = (image.height, image.width, image.bands) if image.bands > 1 else (image.height, image.width)
    if image.format in ("float", "double"):
        values: npt.NDArray[np.float32] = np.ndarray(shape, np.float32, image.cast("float").write_to_memory())
        return floats_to_bytes(values)
    if image.format not in _WHITE:
        raise CorruptImage("a TIFF image of signed samples is not read")
    return np.ndarray(shape, np.uint8, image.cast("uchar", shift=True).write_to_memory())
