"""Owns HEIC → pixels by libheif, which turns them upright itself; does not convert colours."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import CorruptImage
from app.imaging.headers.fields import Header


@cache
def _pillow_heif() -> Any:
    """Imported on first use: it costs 26 MB and most services never see such a picture."""
    import pillow_heif

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
