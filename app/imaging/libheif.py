"""Owns HEIC → pixels by libheif, which turns them upright itself; does not convert colours."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import CorruptImage, NotAnImage
from app.imaging.headers.fields import Header


@cache
def _pillow_heif() -> Any:
    """Imported on first use: it costs 26 MB and most services never see such a picture. Raises NotAnImage."""
    try:
        import pillow_heif
    except ImportError as error:  # left out of an image, for the licence of the encoder that its wheel carries
        raise NotAnImage("HEIC images are not read here: the package pillow-heif is not installed") from error

    pillow_heif.options.DECODE_THREADS = 1  # there are as many decoding threads as cores
    return pillow_heif


def load(data: bytes | bytearray, header: Header) -> tuple[npt.NDArray[np.uint8], bytes]:
    """Upright (height, width, 3), with a fourth channel of alpha or none at all for grey, and the ICC profile.

    Raises CorruptImage, or whatever else the library does.
    """
    picture = _pillow_heif().open_heif(bytes(data), convert_hdr_to_8bit=True)
    # Turned, and cut to less than was coded, it may be; larger would be no more than a trap.
    if any(is_ > said for is_, said in zip(sorted(picture.size), sorted((header.width, header.height)), strict=True)):
        raise CorruptImage("the HEIF image is larger than its header says")
    return np.asarray(picture), picture.info.get("icc_profile") or b""
