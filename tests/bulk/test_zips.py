"""Owns the tests of bulk/zips.py."""

import io
import struct
import tracemalloc
import zipfile

import pytest

from app.bulk import zips
from app.bulk.zips import count_zip, zip_images
from tests.bulk.archives import make_zip, opened, outcomes

MEMBERS = [("a/1.jpg", b"one"), ("a/1.txt", b"no"), ("b/", b""), ("ü\n.PNG", b"two" * 5000), ("__MACOSX/._1.jpg", b"")]
FOUND = {"z#a/1.jpg": b"one", "z#ü\n.PNG": b"two" * 5000}


def read(data: bytes) -> dict[str, bytes | str]:
    return outcomes(zip_images(opened(data), "z"))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_members_however_they_are_compressed(method: int):
    assert read(make_zip(MEMBERS, method)) == FOUND
    assert count_zip(io.BytesIO(make_zip(MEMBERS, method))) == 2


def test_of_a_method_that_is_not_read_each_member_is_told():
    found = read(make_zip(MEMBERS, zipfile.ZIP_LZMA))
    assert set(found.values()) == {"unreadable_file: it is compressed by method 14, which is not read"}


def test_what_stands_before_or_behind_it_does_not_matter():
    data = make_zip(MEMBERS)
    assert read(b"#!/bin/sh\n" * 50 + data) == FOUND
    with zipfile.ZipFile(buffer := io.BytesIO(data), "a") as archive:
        archive.comment = b"a comment " * 100
    assert read(buffer.getvalue()) == FOUND


def test_zip64_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 2)
    data = make_zip([("1.jpg", b"one"), ("2.jpg", b"three")])
    assert b"PK\6\7" in data and b"PK\6\6" in data
    assert read(data) == {"z#1.jpg": b"one", "z#2.jpg": b"three"}
    assert read(b"before" + data) == {"z#1.jpg": b"one", "z#2.jpg": b"three"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_the_same_name_are_numbered():
    data = make_zip([("1.jpg", b"one"), ("1.jpg", b"two"), ("../1.jpg", b"three"), ("/etc/x.jpg", b"four")])
    assert read(data) == {"z#1.jpg": b"one", "z#1.jpg@2": b"two", "z#../1.jpg": b"three", "z#/etc/x.jpg": b"four"}


def test_an_encrypted_member_is_told():
    data = bytearray(make_zip([("1.jpg", b"one")]))
    data[data.index(b"PK\1\2") + 8] |= 1
    assert read(bytes(data)) == {"z#1.jpg": "unreadable_file: it is encrypted"}


def test_every_damage_is_told_and_ends_nothing():
    data = make_zip([("1.jpg", b"one" * 20), ("2.jpg", b"two" * 20)], zipfile.ZIP_STORED)
    sound = {"z#1.jpg": b"one" * 20, "z#2.jpg": b"two" * 20}
    for at in range(len(data)):
        for found in (read(data[:at]), read(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])):
            wrong = [value for name, value in found.items() if sound.get(name) != value]
            assert all(str(value).startswith(("unreadable_file: ", "body_too_large: ")) or value in sound.values()
                       for value in wrong)  # fmt: skip


def test_a_bomb_takes_no_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(zips, "MOST_BYTES", 2**20)
    bomb = bytearray(make_zip([("bomb.jpg", bytes(64 * 2**20)), ("after.jpg", b"x")]))
    lying = bomb.replace(struct.pack("<L", 64 * 2**20), struct.pack("<L", 1000))
    tracemalloc.start()
    try:
        told, lied = read(bytes(bomb)), read(bytes(lying))
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    assert str(told["z#bomb.jpg"]).startswith("body_too_large: it has 67,108,864 bytes")
    assert lied["z#bomb.jpg"] == "unreadable_file: it is not what the directory says"
    assert (told["z#after.jpg"], lied["z#after.jpg"]) == (b"x", b"x")


def test_memory_does_not_grow_with_the_members():
    def peak(count: int) -> int:
        data = make_zip([(f"{n:09}.jpg", b"x") for n in range(count)], zipfile.ZIP_STORED)
        tracemalloc.start()
        try:
            assert sum(1 for _ in zip_images(opened(data), "z")) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(12_000) - peak(6000) < 6000 * 64  # of a name 32 bytes are kept, where zipfile has 600
