"""Owns decoding by Pillow; does not choose what comes here, nor convert colours."""

import io

from PIL import AvifImagePlugin, Image

from app.errors import CorruptImage
from app.imaging.headers.fields import BROKEN, Header
from app.imaging.metadata import exif_orientation

# There are as many decoding threads as cores.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def load(data: bytes, header: Header, at_least: tuple[int, int] | None) -> Image.Image:
    """The first frame in one of Pillow's modes; with `at_least` (height, width) a JPEG is scaled on the way.

    Raises CorruptImage, or whatever else Pillow does.
    """
    opened = Image.open(io.BytesIO(data), formats=[header.format])
    if opened.size != (header.width, header.height):
        raise CorruptImage(f"the {header.format} image is of another size than its header says")
    if at_least:
        opened.draft(None, at_least[::-1])
    opened.load()
    image = without_filling(opened, header)
    if header.format == "PNG" and header.bits < 8 and image.mode in ("1", "L"):
        _scale_transparency(image, header.bits)
    if header.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")  # written by programs that know of no alpha; browsers show it too
    return image


def without_filling(image: Image.Image, header: Header) -> Image.Image:
    """A JPEG that libjpeg has scaled, less what it puts in the last row and column to make them whole."""
    eighths = round(8 * image.width / header.width)
    width, height = header.width * eighths / 8, header.height * eighths / 8
    if image.width == width and image.height == height:
        return image
    return image.resize((round(width), round(height)), Image.Resampling.BILINEAR, box=(0, 0, width, height))


def _scale_transparency(image: Image.Image, bits: int) -> None:
    """Pillow stretches samples to eight bits, but not the value that is transparent."""
    if isinstance(value := image.info.get("transparency"), int):
        image.info["transparency"] = value * 255 // (2**bits - 1)


def orientation(image: Image.Image) -> int:
    """Of an AVIF, whose rotation Pillow gives as EXIF."""
    try:
        return exif_orientation(image.info.get("exif", b""))
    except (CorruptImage, *BROKEN):
        return 1
