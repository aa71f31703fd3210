"""Files of megabytes that are nothing but metadata: refused or decoded, but soon."""

import struct
import time

import pytest

from app.errors import RequestError
from app.imaging.decode import DecodeLimits, decode
from tests.imaging.files import encode, jpeg_of_many_scans, picture, png_chunk, tiff
from tests.imaging.test_header import hostile

LIMITS = DecodeLimits()
LARGEST_BYTES = 4 * 2**20
IFD = struct.pack("<HHII", 5000, 7, 65_000, 8) * 5400
EXIF = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 5400) + IFD


def files() -> dict[str, bytes]:
    jpeg, png, webp = (encode(picture(), kind) for kind in ("JPEG", "PNG", "WEBP"))
    scans = jpeg_of_many_scans(1)
    segment = struct.pack(">BBH", 0xFF, 0xE1, len(EXIF) + 2) + EXIF
    many = b"".join(struct.pack("<HHII", tag, 7, LARGEST_BYTES - 20_000, 8) for tag in range(1000, 2000))
    loop = tiff(1, 1)[:-4] + struct.pack("<I", 8)
    return dict(hostile()) | {
        "JPEG comments after a progressive scan": scans[:-2] + b"\xff\xfe\0\2" * (LARGEST_BYTES // 4) + scans[-2:],
        "JPEG comments after a scan": jpeg[:-2] + b"\xff\xfe\0\2" * (LARGEST_BYTES // 4) + jpeg[-2:],
        "JPEG EXIF": jpeg[:2] + segment * 200 + jpeg[2:],
        "PNG EXIF": png[:33] + png_chunk(b"eXIf", EXIF[6:] + IFD * 200) + png[33:],
        "PNG EXIFs behind": png[:-12] + png_chunk(b"eXIf", EXIF[6:]) * 200 + png[-12:],
        "PNG bytes of pixels": png[:33] + png_chunk(b"IDAT", b"x") * (LARGEST_BYTES // 13) + png[33:],
        "WebP chunks behind": webp[:4]
        + struct.pack("<I", len(webp) - 8 + LARGEST_BYTES)
        + webp[8:]
        + b"abcd\0\0\0\0" * (LARGEST_BYTES // 8),
        "TIFF tags of everything": (b"II*\0" + struct.pack("<IH", 8, 1000) + many).ljust(LARGEST_BYTES, b"\0"),
        "TIFF tags of everything beside a picture": tiff(
            1, 1, dict.fromkeys(range(900, 1800), (7, LARGEST_BYTES // 2, 8))
        )
        + bytes(LARGEST_BYTES // 2),
        "TIFF loop": loop,
    }


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in files().items()])
def test_it_is_done_with_soon(data: bytes) -> None:
    decode(encode(picture(), "TIFF"), LIMITS)  # loads the library
    started_at = time.process_time()
    try:
        decode(data, LIMITS)
    except RequestError as error:
        assert len(str(error)) < 300
    assert time.process_time() - started_at < 0.5
