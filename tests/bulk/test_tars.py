"""Owns the tests of bulk/tars.py and bulk/unpacking.py."""

import bz2
import gzip
import lzma
import tarfile
import tracemalloc
from pathlib import Path
from typing import BinaryIO

import pytest

from app.bulk import tars, unpacking
from app.bulk.tars import tar_images
from tests.bulk.archives import opened, outcomes, tar

MEMBERS = [("a/1.jpg", b"one"), ("a/1.txt", b"no"), ("b.PNG", b"two" * 5000), ("a/1.jpg", b"again"), (".h.jpg", b"")]
FOUND = {"t#a/1.jpg": b"one", "t#b.PNG": b"two" * 5000, "t#a/1.jpg@2": b"again"}


def read(data: bytes) -> dict[str, bytes | str]:
    return outcomes(tar_images(opened(data), "t"))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_of_every_kind_of_archive(mode: str, form: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tarfile.TarFile, "format", form)
    assert read(tar(MEMBERS, mode)) == FOUND


def test_streams_one_after_the_other_are_one():
    data = tar(MEMBERS)
    for compress in (gzip.compress, bz2.compress, lzma.compress):
        assert read(compress(data[:700]) + compress(data[700:])) == FOUND


def test_names_that_are_no_text_stay_different():
    names = [b"\xff.jpg".decode(errors="surrogateescape"), b"\xfe.jpg".decode(errors="surrogateescape"), "a\nb.jpg"]
    found = read(tar([(name, b"x") for name in names]))
    assert list(found) == ["t#\\xff.jpg", "t#\\xfe.jpg", "t#a\nb.jpg"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_wherever_it_is_cut_what_stands_before_is_read_and_the_rest_told(mode: str):
    data = tar(MEMBERS, mode)
    for end in range(0, len(data) - 1, max(len(data) // 60, 1)):
        found = read(data[:end])
        lost = found.pop("t", None)
        assert found.items() <= FOUND.items()
        if len(found) < 3:
            assert str(lost).startswith("unreadable_file: the archive cannot be read further") or end % 512 == 0


def test_a_damaged_header_in_the_middle_is_told():
    data = bytearray(tar([("1.jpg", b"1"), ("2.jpg", b"2"), ("3.jpg", b"3")]))
    data[1024 + 10] ^= 0xFF
    found = read(bytes(data))
    assert found["t#1.jpg"] == b"1"
    assert found["t"] == "unreadable_file: the archive cannot be read further: ReadError: a header is damaged"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_told_and_not_followed(kind: bytes):
    data = tar([("x.jpg", b""), ("../../y.jpg", b""), ("/etc/z.jpg", b"")], type=kind, linkname="/etc/passwd")
    found = read(data)
    assert list(found) == ["t#x.jpg", "t#../../y.jpg", "t#/etc/z.jpg"]
    assert set(found.values()) == {"unreadable_file: it is no plain file but a link or device, which is not followed"}


def test_names_that_lead_elsewhere_are_only_names():
    assert read(tar([("../../y.jpg", b"1"), ("/etc/z.jpg", b"2")])) == {"t#../../y.jpg": b"1", "t#/etc/z.jpg": b"2"}


def test_a_bomb_takes_no_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tars, "MOST_BYTES", 2**20)
    bomb = gzip.compress(tar([("bomb.jpg", bytes(64 * 2**20)), ("after.jpg", b"x")]))
    tracemalloc.start()
    try:
        found = read(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    assert str(found["t#bomb.jpg"]).startswith("body_too_large: it has 67,108,864 bytes or more")
    assert found["t#after.jpg"] == b"x"


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_bomb_for_a_header_takes_no_memory(kind: bytes):
    bomb = gzip.compress(tar([("x.jpg", bytes(64 * 2**20))], type=kind))
    tracemalloc.start()
    try:
        found = read(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    assert found == {"t": "unreadable_file: the archive cannot be read further: ValueError: a header is too large"}


def test_a_header_that_points_back_does_not_go_round():
    header = bytearray(tar([("x.jpg", b"")])[:512])
    header[124:136] = b"\xff" * 10 + b"\xfc\x00"  # a size of -1024, as GNU writes numbers
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    found = read(bytes(header) + bytes(2048))
    assert found == {
        "t#x.jpg": b"",
        "t": "unreadable_file: the archive cannot be read further: ValueError: a header points back",
    }


def test_xz_may_not_ask_for_all_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unpacking, "_XZ_MEMORY_BYTES", 2**20)
    assert "Memory usage limit" in str(read(lzma.compress(tar(MEMBERS), preset=9))["t"])


@pytest.mark.parametrize("data", [b"", b"no archive at all" * 100, b"\x1f\x8b broken", b"BZh broken"])
def test_what_is_no_archive_is_told(data: bytes):
    assert list(read(data)) == ["t"]


def test_an_archive_that_is_not_there_is_told(tmp_path: Path):
    def nowhere() -> BinaryIO:
        return (tmp_path / "gone.tar").open("rb")

    assert list(outcomes(tar_images(nowhere, "t")).values()) == [
        "unreadable_file: the archive cannot be read further: No such file or directory"
    ]


def test_memory_does_not_grow_with_the_members():
    def peak(count: int) -> int:
        data = tar([(f"{n:09}.jpg", b"x") for n in range(count)])
        tracemalloc.start()
        try:
            assert sum(1 for _ in tar_images(opened(data), "t")) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(12_000) - peak(6000) < 6000 * 64  # of a name 32 bytes are kept
