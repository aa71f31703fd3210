import contextlib
import io
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app.errors import CorruptImage, EmptyBody, NotAnImage, RequestError, TooManyPixels
from app.imaging.decode import DecodeLimits, decode
from tests.imaging import files
from tests.imaging.files import encode, in_mode, picture, with_frames

LIMITS = DecodeLimits()
EXIF = Image.Exif()
EXIF[0x0112] = 6
SOUND: dict[str, bytes] = {
    "JPEG": encode(picture(), "JPEG", exif=EXIF),
    "JPEG progressive": encode(picture(), "JPEG", progressive=True),
    "JPEG grey": encode(picture().convert("L"), "JPEG"),
    "JPEG CMYK": encode(picture().convert("CMYK"), "JPEG"),
    "PNG": encode(picture(), "PNG", exif=EXIF),
    "PNG palette": encode(picture().convert("P"), "PNG", transparency=3),
    "PNG 16 bits": encode(in_mode("I;16"), "PNG"),
    "WebP": encode(picture(), "WEBP", exif=EXIF),
    "WebP lossless": encode(in_mode("RGBA"), "WEBP", lossless=True),
    "WebP animated": with_frames("WEBP"),
    "GIF": encode(picture(), "GIF"),
    "GIF animated": with_frames("GIF"),
    "BMP": encode(picture(), "BMP"),
    "BMP palette": encode(picture().convert("P"), "BMP"),
    "TIFF": encode(picture(), "TIFF"),
    "TIFF LZW": encode(picture(), "TIFF", compression="tiff_lzw"),
    "TIFF JPEG": encode(picture(), "TIFF", compression="jpeg"),
    "TIFF float": encode(in_mode("F"), "TIFF"),
}


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cat.jpg", SOUND["JPEG"])
    return buffer.getvalue()


def test_no_bytes_are_told_from_wrong_ones() -> None:
    with pytest.raises(EmptyBody):
        decode(b"", LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"hello, I am no image\n" * 9,
        b"BMW is a make of car",
        b"<!doctype html><html><body>502 Bad Gateway</body></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        zipped(),
        bytes(1000),
        b"\xff" * 1000,
        b"RIFF\x24\0\0\0WAVEfmt ",
        encode(picture(), "ICO"),
        encode(picture(), "PPM"),
    ],
)
def test_what_is_no_image_of_ours_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(NotAnImage, match="JPEG, PNG, WEBP, GIF, BMP, TIFF"):
        decode(data, LIMITS)


@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"GIF87a", b"II*\0", b"MM\0*"])
def test_a_broken_header_is_told_from_no_image(start: bytes) -> None:
    with pytest.raises(CorruptImage):
        decode(start + b"nothing of the kind", LIMITS)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as decode.py has it, but pytest sets its own
@pytest.mark.parametrize("name", SOUND)
def test_a_truncated_file_is_never_half_a_picture(name: str) -> None:
    data = SOUND[name]
    whole = decode(data, LIMITS)
    for length in {*range(1, len(data), max(len(data) // 150, 1)), *range(max(len(data) - 40, 1), len(data))}:
        try:
            pixels = decode(data[:length], LIMITS)
        except (CorruptImage, NotAnImage):
            continue
        np.testing.assert_array_equal(pixels, whole, f"{length} of {len(data)} bytes")


@pytest.mark.parametrize("name", ["PNG", "PNG palette", "PNG 16 bits"])
def test_a_damaged_png_is_never_half_a_picture(name: str) -> None:
    """Pillow says once that its rows cannot be inflated; asked again, it gives what was read until then."""
    data, broken = SOUND[name], 0
    start = data.index(b"IDAT") + 4
    end = start + struct.unpack(">I", data[start - 8 : start - 4])[0]
    for place in range(start + 2, end - 100, 7):
        damaged = data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]
        try:
            zlib.decompressobj().decompress(damaged[start : end - 100])
        except zlib.error:
            broken += 1
            with pytest.raises(CorruptImage):
                decode(damaged, LIMITS)
    assert broken > 5


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=1500, deadline=None)
@given(
    name=st.sampled_from(sorted(SOUND)),
    changes=st.lists(
        st.tuples(st.integers(0, 1500), st.sampled_from((0, 1, 127, 128, 255)) | st.integers(0, 255)), max_size=12
    ),
    cut=st.none() | st.tuples(st.integers(0, 1500), st.integers(1, 40)),
)
def test_any_damage_is_the_requests_fault(
    name: str, changes: list[tuple[int, int]], cut: tuple[int, int] | None
) -> None:
    data = bytearray(SOUND[name])
    for place, value in changes:
        data[place % len(data)] = value
    if cut:
        del data[cut[0] : cut[0] + cut[1]]
    try:
        pixels = decode(bytes(data), DecodeLimits(max_pixels=100_000))
    except RequestError as error:
        assert str(error)
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert 0 < pixels.size <= 300_000


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300, deadline=None)
@given(
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0+", b"RIFF"]),
    rest=st.binary(max_size=200),
)
def test_any_bytes_are_the_requests_fault(start: bytes, rest: bytes) -> None:
    with pytest.raises(RequestError):
        decode(start + rest, DecodeLimits(max_pixels=0))


@pytest.mark.parametrize("side_px", [11_000, 13_000, 16_000])
@pytest.mark.parametrize(
    "file",
    [
        files.png,
        files.bmp,
        files.tiff,
        files.webp,
        lambda w, h: files.gif((w, h), (1, 1)),
        lambda w, h: files.gif((1, 1), (w, h)),
    ],
    ids=["PNG", "BMP", "TIFF", "WebP", "GIF screen", "GIF frame"],
)
def test_a_bomb_is_refused_by_its_header(file: Callable[[int, int], bytes], side_px: int) -> None:
    data = file(side_px, side_px)
    assert len(data) < 1000
    tracemalloc.start()
    begun_at = time.perf_counter()
    with pytest.raises(TooManyPixels, match="pixels"):
        decode(data, LIMITS)
    took_s, (_, peak_bytes) = time.perf_counter() - begun_at, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took_s < 0.5
    assert peak_bytes < 2**20


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_limit_itself_is_allowed(format_name: str) -> None:
    data = encode(picture(40, 25), format_name)
    assert decode(data, DecodeLimits(max_pixels=1000)).shape == (25, 40, 3)
    with pytest.raises(TooManyPixels, match=r"40 x 25.*999"):
        decode(data, DecodeLimits(max_pixels=999))


@pytest.mark.parametrize(
    "data",
    [files.png(0, 5), files.png(5, 0), files.bmp(0, 1), files.bmp(1, 0), files.tiff(0, 1), files.gif((0, 0), (0, 0))],
)
def test_an_image_without_pixels_is_refused(data: bytes) -> None:
    with pytest.raises((CorruptImage, NotAnImage)):
        decode(data, LIMITS)


def test_a_screen_may_be_larger_than_its_frame() -> None:
    assert decode(files.gif((300, 200), (1, 1)), LIMITS).shape == (200, 300, 3)


def huge(kind: bytes, prefix: bytes) -> bytes:
    return files.png(1, 1, files.png_chunk(kind, prefix + zlib.compress(bytes(50_000_000), 9)))


@pytest.mark.parametrize(
    "data",
    [
        huge(b"iCCP", b"x\0\0"),
        huge(b"zTXt", b"x\0\0"),
        huge(b"iTXt", b"x\0\1\0\0\0"),
        files.png(1, 1, rows=b"\0" + files.WHITE + bytes(50_000_000)),
        files.tiff(1, 1, {270: (2, 2**31 - 1, 8), 258: (3, 2**30, 8), 50_000: (5, 2**31, 0)}),
        files.tiff(1, 1, {278: (4, 1, 2**32 - 1), 279: (4, 1, 2**32 - 1)}),
        files.tiff(1, 1, {34665: (4, 1, 8)}),  # an EXIF block that is the directory itself
    ],
    ids=["iCCP", "zTXt", "iTXt", "IDAT", "counts", "strips", "circle"],
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_little_bytes_do_not_become_many(data: bytes) -> None:
    tracemalloc.start()
    begun_at = time.perf_counter()
    with contextlib.suppress(CorruptImage):
        assert decode(data, LIMITS).shape == (1, 1, 3)
    took_s, (_, peak_bytes) = time.perf_counter() - begun_at, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took_s < 1
    assert peak_bytes < 8 * 2**20


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    assert decode(files.jpeg_of_many_scans(50), LIMITS).shape == (64, 64, 3)
    with pytest.raises(CorruptImage, match="100 scans"):
        decode(files.jpeg_of_many_scans(100), LIMITS)


def test_the_second_header_of_a_jpeg_cannot_smuggle_in_a_larger_image() -> None:
    data = SOUND["JPEG"]
    at = data.index(b"\xff\xc0")
    length = struct.unpack(">H", data[at + 2 : at + 4])[0] + 2
    larger = data[at : at + 5] + struct.pack(">HH", 60_000, 60_000) + data[at + 9 : at + length]
    for both in (data[:at] + larger + data[at:], data[: at + length] + larger + data[at + length :]):
        with pytest.raises((CorruptImage, TooManyPixels)):
            decode(both, LIMITS)


def test_warnings_about_foreign_bytes_are_not_kept() -> None:
    """Pillow warns of this one; in a server each such text would stay in memory, and in the log."""
    code = (
        "import sys; from app.imaging.decode import *\n"
        f"decode({files.tiff(1, 1, {50_000: (5, 2**20, 0)})!r}, DecodeLimits())\n"
        "kept = [vars(module).get('__warningregistry__', {}) for module in sys.modules.values()]\n"
        "sys.exit(any(key != 'version' for registry in kept for key in registry))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
