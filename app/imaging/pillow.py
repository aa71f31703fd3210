"""Owns decoding by Pillow; does not choose what comes here, nor convert colours."""

import io
from typing import Final

from PIL import AvifImagePlugin, Image

from app.errors import CorruptImage
from app.imaging.headers import tiff
from app.imaging.headers.fields import BROKEN, Header
from app.imaging.metadata import exif_orientation

# There are as many decoding threads as cores.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_UNSIGNED: Final = 1
_SIGNED: Final = 2
_FLOAT: Final = 3
_DEEP_GREY: Final = ((_UNSIGNED, 12), (_UNSIGNED, 16), (_SIGNED, 16), (_SIGNED, 32), (_FLOAT, 32))
_BLACK_IS_ZERO: Final = 1
_YCBCR: Final = 6
_JPEG: Final = 7


def load(data: bytes, header: Header, at_least: tuple[int, int] | None) -> Image.Image:
    """The first frame in one of Pillow's modes; with `at_least` (height, width) a JPEG is scaled on the way.

    Raises CorruptImage, or whatever else Pillow does.
    """
    image = Image.open(io.BytesIO(data), formats=[header.format])
    if image.size != (header.width, header.height):
        raise CorruptImage(f"the {header.format} image is of another size than its header says")
    if at_least:
        image.draft(None, at_least[::-1])
    image.load()
    if header.format == "PNG" and header.bits < 8 and image.mode in ("1", "L"):
        _scale_transparency(image, header.bits)
    if header.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")  # written by programs that know of no alpha; browsers show it too
    return image


def _scale_transparency(image: Image.Image, bits: int) -> None:
    """Pillow stretches samples to eight bits, but not the value that is transparent."""
    if isinstance(value := image.info.get("transparency"), int):
        image.info["transparency"] = value * 255 // (2**bits - 1)


def reads(tags: tiff.Directory) -> bool:
    """Whether Pillow reads a TIFF of this kind right; others it refuses, or takes for something else."""
    bits, sample = tags.number(tiff.BITS, 1), tags.number(tiff.SAMPLE_FORMAT, _UNSIGNED)
    photometric = tags.number(tiff.PHOTOMETRIC)
    if bits > 8:
        return photometric == _BLACK_IS_ZERO and tags.number(tiff.CHANNELS, 1) == 1 and (sample, bits) in _DEEP_GREY
    whole = tags.number(tiff.COMPRESSION) == _JPEG or tags.numbers(tiff.SUBSAMPLING) == (1, 1)
    return sample == _UNSIGNED and (photometric != _YCBCR or whole)


def orientation(image: Image.Image) -> int:
    """Of an AVIF, whose rotation Pillow gives as EXIF."""
    try:
        return exif_orientation(image.info.get("exif", b""))
    except (CorruptImage, *BROKEN):
        return 1
