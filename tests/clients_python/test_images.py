"""Owns the tests of what may be given as an image, through both clients."""

import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from vit_client import UnreadableImage
from vit_client.images import read_image

from app.imaging.decode import decode
from app.imaging.price import DecodeLimits
from tests.clients_python.conftest import ANSWER, Door


def sent(door: Door, image: Any) -> bytes:
    """The body of the request."""
    bodies = list[bytes]()

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return httpx.Response(503) if len(bodies) < 3 else httpx.Response(200, json=ANSWER)

    door.classify(answer, {"image": image})
    assert len(set(bodies)) == 1  # also a file, which can be read only once, is whole at the third try
    return bodies[0]


def test_whatever_has_the_bytes_is_read(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"pixels")
    images = (b"pixels", bytearray(b"pixels"), memoryview(b"-pixels")[1:], path, str(path), io.BytesIO(b"pixels"))
    assert [sent(door, image) for image in images] == [b"pixels"] * 6
    with path.open("rb") as file:
        assert sent(door, file) == b"pixels"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr", "F"])
def test_a_pillow_image_is_sent_without_loss(mode: str) -> None:
    chance = np.random.default_rng(3)
    image = Image.fromarray(chance.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    image = image.convert("L").convert(mode) if mode in ("I;16", "F") else image.convert(mode)
    got = Image.open(io.BytesIO(read_image(image)))
    assert got.size == (12, 9)
    assert np.array_equal(np.asarray(got.convert("RGB")), np.asarray(image.convert("RGB")))


def test_a_turned_photograph_is_turned_as_its_file_is() -> None:
    image, buffer = Image.new("RGB", (64, 32), "red"), io.BytesIO()
    image.paste("blue", (32, 0, 64, 32))
    exif = Image.Exif()
    exif[274] = 6
    image.save(buffer, "JPEG", quality=95, exif=exif)
    files = (buffer.getvalue(), read_image(Image.open(buffer)))
    of_file, of_picture = (decode(data, DecodeLimits()) for data in files)
    assert of_file.shape == of_picture.shape == (64, 32, 3)
    assert np.abs(of_file.astype(int) - of_picture.astype(int)).max() < 8
    assert of_file[8, 16, 0] > 200 > of_file[56, 16, 0]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("/nowhere/a.jpg", "the image cannot be read: /nowhere/a.jpg: No such file or directory"),
        (Path("/"), "the image cannot be read: /: Is a directory"),
        ("a\0b", "the image cannot be read: embedded null byte"),
        (io.StringIO("text"), "the file is opened as text; open it with 'rb'"),
        (None, "an image is bytes, a path, a file or a Pillow image, not NoneType"),
        (np.zeros((2, 2, 3)), "an image is bytes, a path, a file or a Pillow image, not ndarray"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_said_and_not_sent(door: Door, image: Any, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message) as caught:
        door.classify(lambda _: pytest.fail("sent"), {"image": image, "request_id": "mine"})
    assert (caught.value.code, caught.value.status) == ("unreadable_image", None)


def test_a_closed_file_is_said_so(door: Door) -> None:
    file = io.BytesIO()
    file.close()
    with pytest.raises(UnreadableImage, match="I/O operation on closed file"):
        door.classify(lambda _: pytest.fail("sent"), {"image": file})
