"""Owns the pictures on which two computations of a network are compared; does not compare them."""

from pathlib import Path
from typing import Final

import numpy as np

from app.domain import PreprocessSpec
from app.graphs.folder import Pixels
from app.imaging.decode import DecodeLimits
from app.imaging.resample import preprocess

_PHOTOGRAPHS: Final = Path(__file__).parent / "photographs"
_LIMITS: Final = DecodeLimits(nearly=True)  # as in packages that carry their probes
_SMOOTH: Final = 4
_COARSE: Final = 4  # samples along a side of a smooth picture


def probes(spec: PreprocessSpec) -> Pixels:
    """uint8 (n, height, width, 3): smooth random pictures, then the photographs that lie beside this file."""
    files = sorted(_PHOTOGRAPHS.glob("*.jpg"))
    pictures = np.empty((_SMOOTH + len(files), spec.height, spec.width, 3), np.uint8)
    generator = np.random.default_rng(0)
    for picture in pictures[:_SMOOTH]:
        picture[:] = _smooth(generator, spec.height, spec.width)
    for path, picture in zip(files, pictures[_SMOOTH:], strict=True):
        preprocess(path.read_bytes(), spec, _LIMITS, picture)
    return pictures


def _smooth(generator: np.random.Generator, height: int, width: int) -> Pixels:
    """Noise on a coarse grid, interpolated: its statistics are nearer to photographs than those of plain noise."""
    coarse = generator.normal(128, 64, (_COARSE, _COARSE, 3))
    for axis, length in ((0, height), (1, width)):
        at = np.linspace(0, _COARSE - 1, length)
        low = np.minimum(at.astype(int), _COARSE - 2)
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(3)])
        coarse = coarse.take(low, axis) * (1 - share) + coarse.take(low + 1, axis) * share
    return np.clip(np.rint(coarse), 0, 255).astype(np.uint8)
