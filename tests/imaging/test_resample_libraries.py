"""A size before the crop in pixels, and Hugging Face's offsets; tests/parity compares with that library itself."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from app.domain import PreprocessSpec
from app.imaging.resample import resample, resized_size


@pytest.mark.parametrize(
    ("resize_px", "size", "expected"),
    [
        (242, (300, 500), (242, 403)),
        (438, (500, 333), (657, 438)),
        (518, (1000, 999), (518, 518)),
        ((256, 256), (300, 500), (256, 256)),
        ((248, 300), (50, 20), (248, 300)),
    ],
)
def test_the_size_before_the_crop(
    resize_px: int | tuple[int, int], size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert resized_size(*size, PreprocessSpec(resize_px=resize_px)) == expected


@pytest.mark.parametrize(
    ("library", "have", "want", "from_", "to"),
    [
        ("torchvision", 227, 224, 2, 0),  # 1.5, half to even
        ("huggingface", 227, 224, 1, 0),
        ("torchvision", 229, 224, 2, 0),
        ("huggingface", 229, 224, 2, 0),
        ("torchvision", 100, 131, 0, 15),
        ("huggingface", 100, 131, 0, 16),
    ],
)
def test_each_librarys_offsets(library: str, have: int, want: int, from_: int, to: int) -> None:
    photo = skimage.data.chelsea()[:, :300]
    spec = PreprocessSpec(want, want, resize_px=(have, have), library=library)  # type: ignore[arg-type]
    out = np.full((want, want, 3), 9, np.uint8)
    resample(photo, spec, out)
    whole = np.asarray(Image.fromarray(photo).resize((have, have), Image.Resampling.BICUBIC)).astype(int)
    shared = min(have, want)
    source, target = slice(from_, from_ + shared), slice(to, to + shared)
    assert np.abs(out[target, target] - whole[source, source]).max() <= 1
    assert not out[:to].any()
    assert not out[:, to + shared :].any()
