"""Owns the choice of a decoder that reads a kind of TIFF right, or of none; does not decode.

Both libraries take some kinds for what they are not, and give noise or a negative without a word.
"""

from typing import Final

from app.errors import CorruptImage
from app.imaging.headers import tiff

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _CMYK, _YCBCR, _LAB = 0, 1, 5, 6, 8
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_APART: Final = 2
_JPEG: Final = 7
# By colour space, sample format and bits: what libvips has not, or converts to other colours.
_FOR_PILLOW: Final = {
    (_BLACK_IS_ZERO, _UNSIGNED, 12),
    (_BLACK_IS_ZERO, _SIGNED, 16),
    (_BLACK_IS_ZERO, _SIGNED, 32),
    (_CMYK, _UNSIGNED, 8),
    (_YCBCR, _UNSIGNED, 8),
    (_LAB, _UNSIGNED, 8),
}


def is_for_pillow(tags: tiff.Directory) -> bool:
    """Else it is for libvips. Raises CorruptImage for a kind that neither reads."""
    space, bits = tags.number(tiff.PHOTOMETRIC), tags.number(tiff.BITS, 1)
    sample = tags.number(tiff.SAMPLE_FORMAT, _UNSIGNED)
    grey, apart = space in (_WHITE_IS_ZERO, _BLACK_IS_ZERO), tags.number(tiff.PLANAR, 1) == _APART
    extra = tags.numbers(tiff.EXTRA_SAMPLES)
    if space == _WHITE_IS_ZERO and sample == _FLOAT:
        raise CorruptImage("a TIFF image of this kind is not read: floating point in which white is zero")
    if grey and apart and tags.number(tiff.CHANNELS, 1) > 1:
        raise CorruptImage("a TIFF image of this kind is not read: grey and alpha in separate planes")
    if 0 in extra and any(extra[extra.index(0) :]):
        raise CorruptImage("a TIFF image of this kind is not read: alpha behind channels without a meaning")
    if apart:  # and tiled, which libvips refuses
        return bits == 8 and tags.number(tiff.TILE_WIDTH) > 0
    if space == _YCBCR and tags.number(tiff.COMPRESSION) != _JPEG and tags.numbers(tiff.SUBSAMPLING) != (1, 1):
        return False
    return (space, sample, bits) in _FOR_PILLOW
