"""Owns decoding by libvips, which streams: large pictures shrunk as they are read, and TIFFs of any kind.

It does not choose what comes here, nor resize to the size asked for.
"""

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
    os.environ["VIPS_CONCURRENCY"] = "1"  # read when the library starts
    import pyvips

    pyvips.cache_set_max(0)
    return pyvips


def load(data: bytes, header: Header, at_least: tuple[int, int] | None) -> Raster:
    """Grey, RGB, either with alpha, or CMYK; deep samples keep their high byte.

    With `at_least` (height, width), in pixels, shrunk by a whole factor to not less on either side, over white.
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
    if (
        header.format == "TIFF" and image.bands > header.channels
    ):  # samples of which the file does not say what they are
        image = image[: header.channels]
    if image.interpretation in ("lab", "labs", "xyz"):
        image = image.colourspace("srgb")
    if factor > 1:
        image = image.flatten(background=_WHITE.get(image.format, 1.0)) if image.hasalpha() else image
        image = image if "scale" in options else image.shrink(factor, factor)
    if image.bands > _MAX_CHANNELS:
        raise CorruptImage(f"a {header.format} image of this kind is not read: {image.bands} channels")
    pixels = _in_bytes(image)
    return Image.fromarray(pixels, "CMYK") if image.interpretation == "cmyk" else pixels


def _factor(header: Header, at_least: tuple[int, int] | None) -> int:
    if at_least is None:
        return 1
    return max(min(header.height // at_least[0], header.width // at_least[1]), 1)


def _in_bytes(image: Any) -> npt.NDArray[np.uint8]:
    if image.format in ("float", "double"):
        return floats_to_bytes(image.numpy())
    if image.format not in _WHITE:
        raise CorruptImage("a TIFF image of signed samples is not read")
    pixels: npt.NDArray[np.uint8] = image.cast("uchar", shift=True).numpy()
    return pixels
