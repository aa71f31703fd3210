"""Owns `tf.image.resize` as Google's pipelines call it; does not antialias, nor import TensorFlow."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.imaging.decode import Pixels

_NEARLY_NEXT: Final = (
    1e-3  # of a grey level: a mean that is a whole number but for rounding is not cut down to the one below
)


def resize_as_tensorflow(pixels: Pixels, size: tuple[int, int], crop: tuple[slice, slice], kernel: str) -> Pixels:
    """`crop` (rows, columns) of the image resized to `size`, computed for the crop alone.

    "bilinear" (vision_transformer) stays floating point there, so it is rounded to the nearest byte here; "area"
    (big_vision's `resize_small`) is cut to a byte there, and here.
    """
    along = _area if kernel == "area" else _bilinear
    # Down first, along whole rows of memory, but not for a strip: its length would be multiplied by the crop's height.
    rows, columns = (part.stop - part.start for part in crop)
    first = int(pixels.shape[1] * rows > 4 * pixels.shape[0] * columns)
    image: npt.NDArray[Any] = pixels
    for axis in (first, 1 - first):
        image = along(image.swapaxes(0, axis), size[axis], crop[axis]).swapaxes(0, axis)
    result: Pixels = (image + _NEARLY_NEXT if kernel == "area" else np.rint(image)).astype(np.uint8)
    return result


def _bilinear(image: npt.NDArray[Any], target: int, part: slice) -> npt.NDArray[np.float32]:
    """Along the first axis, between the two nearest samples however much is shrunk; pixel centres lie at halves."""
    source = image.shape[0]
    at = (np.arange(part.start, part.stop) + 0.5) * (source / target) - 0.5
    before = np.floor(at).astype(np.intp)
    share = (at - before).astype(np.float32)[:, None, None]
    near, far = image[before.clip(0, source - 1)], image[(before + 1).clip(0, source - 1)]
    result: npt.NDArray[np.float32] = near * (1 - share) + far * share
    return result


def _area(image: npt.NDArray[Any], target: int, part: slice) -> npt.NDArray[np.float32]:
    """Along the first axis, the mean of what a target pixel covers; a sample covered in part counts in part."""
    source, scale = image.shape[0], image.shape[0] / target
    result = np.empty((part.stop - part.start, *image.shape[1:]), np.float32)
    for row, index in enumerate(range(part.start, part.stop)):
        start, stop = index * scale, min((index + 1) * scale, source)
        first, last = int(start), min(int(np.ceil(stop)), source)
        edges = np.arange(first, last)
        weights = (np.minimum(edges + 1, stop) - np.maximum(edges, start)).astype(np.float32)
        result[row] = np.tensordot(weights / weights.sum(), image[first:last].astype(np.float32), axes=1)
    return result
