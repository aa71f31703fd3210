"""Owns a picture with a heat map over it, as PNG; does not compute what the map shows."""

import io
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.imaging.decode import Pixels

# Dark blue, violet, red, orange, yellow: as bright as the weight is large, also for those who see no red.
_COLOURS: Final = np.array(
    [(13, 8, 135), (126, 3, 168), (204, 71, 120), (248, 149, 64), (240, 249, 33)], dtype=np.float32
)
_COVERED: Final = 0.75  # of the picture, at the most


def overlay_png(picture: Pixels, weights: npt.NDArray[np.float32]) -> bytes:
    """uint8 (height, width, 3) under a map (rows, columns) of any range, the largest weight covering the most.

    Takes milliseconds: for another thread than an event loop's.
    """
    height, width = picture.shape[:2]
    low, high = float(weights.min()), float(weights.max())
    scaled = (weights - low) / (high - low) if high > low else np.zeros_like(weights)
    enlarged = Image.fromarray(scaled).resize((width, height), Image.Resampling.BICUBIC)
    share = np.clip(np.asarray(enlarged), 0, 1)
    places = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(share, places, each) for each in _COLOURS.T], axis=-1)
    covered = (_COVERED * share)[..., None]
    mixed = picture * (1 - covered) + colours * covered
    file = io.BytesIO()
    Image.fromarray(mixed.round().astype(np.uint8)).save(file, "PNG", compress_level=1)
    return file.getvalue()
