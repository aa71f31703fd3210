"""Owns one pass of a resize in vector instructions, within ±1 of Pillow; does not choose passes or crops."""

from typing import Final

import numpy as np
from PIL import Image

from app.imaging.colour import Pixels

try:
    import cykooz_resizer as cykooz
except ImportError:  # no wheel for this machine, such as Linux on ARM: there Pillow, exact and four times slower
    cykooz = None

KERNELS: Final = ("bilinear", "bicubic")
_PART_PX: Final = 2**19  # copied at once, with Python's lock held: a fraction of a millisecond
_PILLOW: Final = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def resize_axis(pixels: Pixels, axis: int, length: int, kernel: str) -> Pixels:
    """(height, width, 3) with `length` pixels along `axis`, 0 down or 1 across; the kernel widens for smaller sizes."""
    if pixels.shape[axis] == length:
        return pixels
    others = pixels.shape[1 - axis]
    out = np.empty((length, others, 3) if axis == 0 else (others, length, 3), np.uint8)
    step = max(1, _PART_PX // max(pixels.shape[axis], length))
    for start in range(0, others, step):
        part = slice(start, start + step)
        lines = (slice(None), part) if axis == 0 else (part, slice(None))
        out[lines] = _resize(pixels[lines], out[lines].shape[:2], kernel)
    return out


def _resize(pixels: Pixels, size: tuple[int, ...], kernel: str) -> Pixels:
    (height, width), (rows, columns) = pixels.shape[:2], size
    if cykooz is None:
        return np.asarray(Image.fromarray(pixels).resize((columns, rows), _PILLOW[kernel]))
    source = cykooz.ImageData(width, height, cykooz.PixelType.U8x3, pixels.tobytes())
    target = cykooz.ImageData(columns, rows, cykooz.PixelType.U8x3)
    cykooz.Resizer().resize(source, target, _OPTIONS[kernel])  # other threads run meanwhile
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(rows, columns, 3)


_OPTIONS: Final = (
    {}
    if cykooz is None
    else {
        kernel: cykooz.ResizeOptions(cykooz.ResizeAlg.convolution(filter_type))
        for kernel, filter_type in (
            ("bilinear", cykooz.FilterType.bilinear),
            ("bicubic", cykooz.FilterType.catmull_rom),  # with a = -0.5, Pillow's
        )
    }
)
