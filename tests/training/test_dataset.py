"""Owns the tests of training/dataset.py."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from app.domain import PreprocessSpec
from app.errors import DatasetError
from app.imaging.files import list_images
from app.training.broken import BrokenFile
from app.training.dataset import Dataset, load_dataset, load_images, split
from tests.training.pictures import plain, stripes, write_files, write_zip

SPEC = PreprocessSpec(8, 8, crop_pct=1.0)
FILES = {
    "train/dog/b.png": plain(30),
    "train/dog/a.PNG": plain(20),
    "train/cat/z.png": plain(10),
    "train/notes.txt": b"not an image, and nobody asked",
    "__MACOSX/train/cat/._z.png": b"what macOS puts into its zips",
    "train/cat/.hidden.png": b"nothing to see",
}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_classes_are_the_folders_in_a_fixed_order(tmp_path: Path, kind: str):
    path = write_files(tmp_path / "x", FILES) if kind == "folder" else write_zip(tmp_path / "x.zip", FILES)
    seen: list[tuple[int, int]] = []
    data = load_dataset(path, SPEC, lambda done, total: seen.append((done, total)))
    assert data.classes == ("cat", "dog")
    assert data.targets.tolist() == [0, 1, 1]
    assert data.images.shape == (3, 3, 8, 8)
    assert data.images.dtype == torch.uint8
    assert data.images[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_folder_and_zip_give_the_same(tmp_path: Path):
    folder = load_dataset(write_files(tmp_path / "x", FILES), SPEC)
    archive = load_dataset(write_zip(tmp_path / "x.zip", FILES), SPEC)
    assert folder.fingerprint() == archive.fingerprint()


def test_the_fingerprint_sees_pixels_targets_and_names():
    data = stripes(4)
    changed = data.images.clone()
    changed[3, 2, 31, 31] ^= 1
    others = [
        Dataset(changed, data.targets, data.classes),
        Dataset(data.images, 1 - data.targets, data.classes),
        Dataset(data.images, data.targets, ("a", "b")),
    ]
    assert len({d.fingerprint() for d in [data, *others]}) == 4


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_broken_image_is_named(tmp_path: Path, kind: str):
    files = {**FILES, "train/dog/broken.png": plain(1)[:40]}
    path = write_files(tmp_path / "x", files) if kind == "folder" else write_zip(tmp_path / "x.zip", files)
    with pytest.raises(
        DatasetError, match=r"1 of 4 images cannot be read; --skip-broken .*\n  train/dog/broken\.png: "
    ):
        load_dataset(path, SPEC)


def test_of_many_broken_images_twenty_are_named_and_all_counted(tmp_path: Path):
    files = {f"train/dog/{i:02}.jpg": b"\xff\xd8\xff" for i in range(23)}
    with pytest.raises(DatasetError, match="23 of 26 images cannot be read") as caught:
        load_dataset(write_files(tmp_path / "x", FILES | files), SPEC)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines[:-1]] == list(files)[:20]
    assert lines[-1] == "  and 3 more"


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_broken_images_are_left_out_of_images_and_targets(tmp_path: Path, kind: str):
    files = {**FILES, "train/cat/0.png": b"", "train/dog/aa.gif": plain(1)[:40]}
    path = write_files(tmp_path / "x", files) if kind == "folder" else write_zip(tmp_path / "x", files)
    skipped: list[BrokenFile] = []
    seen: list[tuple[int, int]] = []
    data = load_dataset(path, SPEC, lambda *counts: seen.append(counts), skipped)
    assert data.fingerprint() == load_dataset(write_zip(tmp_path / "whole.zip", FILES), SPEC).fingerprint()
    assert [(file.data, file.name) for file in skipped] == [("x", "train/cat/0.png"), ("x", "train/dog/aa.gif")]
    assert all(file.reason for file in skipped)
    assert seen[-1] == (5, 5)


def test_a_class_does_not_vanish_with_its_broken_images(tmp_path: Path):
    files = {**FILES, "train/owl/1.jxl": b"\xff\x0a", "train/cat/bad.png": b""}
    with pytest.raises(DatasetError, match="not one image of class 'owl' can be read:\n  train/owl/1.jxl: ") as caught:
        load_dataset(write_files(tmp_path / "x", files), SPEC, skipped=[])
    assert "bad.png" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["avif", "heic", "HEIF", "hif", "jxl", "jp2", "jfif"])
def test_an_image_of_another_format_is_an_image(tmp_path: Path, suffix: str):
    """Of bytes that no decoder reads, so that it is named, and not passed over, whichever formats are read."""
    path = write_files(tmp_path / "x", {**FILES, f"train/dog/x.{suffix}": b"of a later year"})
    with pytest.raises(DatasetError, match=rf"1 of 4 images .*\n  train/dog/x\.{suffix}: "):
        load_dataset(path, SPEC)


def test_what_the_decoder_reads_is_trained_on_whatever_its_suffix(tmp_path: Path):
    data = load_dataset(write_files(tmp_path / "x", {**FILES, "train/dog/z.heic": plain(77)}), SPEC)
    assert data.images[:, 0, 0, 0].tolist() == [10, 20, 30, 77]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"cat/1.png": plain(1), "cat/2.png": plain(2)}, "2 images, 1 classes; at least two"),
        ({"readme.txt": b"hello"}, "0 images, 0 classes"),
        ({"1.png": plain(1), "cat/2.png": plain(2)}, r"1\.png lies in no folder"),
    ],
)
def test_data_that_cannot_be_learnt_from(tmp_path: Path, files: dict[str, bytes], reason: str):
    for path in (write_files(tmp_path / "x", files), write_zip(tmp_path / "x.zip", files)):
        with pytest.raises(DatasetError, match=reason):
            load_dataset(path, SPEC)


def test_what_is_neither_folder_nor_zip(tmp_path: Path):
    with pytest.raises(DatasetError, match="no such file or folder"):
        load_dataset(tmp_path / "none", SPEC)
    (tmp_path / "x.tar").write_bytes(b"a tape")
    with pytest.raises(DatasetError, match=r"x\.tar: neither a folder nor a zip"):
        load_dataset(tmp_path / "x.tar", SPEC)


def test_a_damaged_zip_member_is_named(tmp_path: Path):
    path = write_zip(tmp_path / "x.zip", {"cat/1.png": plain(1), "dog/2.png": plain(2)})
    data = bytearray(path.read_bytes())
    start = data.index(b"dog/2.png") + len("dog/2.png")
    data[start + 20] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"dog/2\.png: cannot be read: "):
        load_dataset(path, SPEC)
    with pytest.raises(DatasetError, match="not one image of class 'dog' can be read"):
        load_dataset(path, SPEC, skipped=[])


def numbered(sizes: list[int]) -> Dataset:
    """Images that carry their own number in their first two pixels."""
    targets = torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])
    images = torch.zeros(len(targets), 3, 8, 8, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(len(targets)) // 256
    images[:, 0, 0, 1] = torch.arange(len(targets)) % 256
    return Dataset(images, targets, tuple("abc"[: len(sizes)]))


def numbers(data: Dataset) -> list[int]:
    return [int(i[0, 0, 0]) * 256 + int(i[0, 0, 1]) for i in data.images]


def test_the_split_is_disjoint_complete_and_takes_the_same_share_of_every_class():
    train, validation = split(numbered([300, 100, 50]), 0.1, seed=1)
    assert sorted(numbers(train) + numbers(validation)) == list(range(450))
    assert torch.bincount(validation.targets).tolist() == [30, 10, 5]
    assert torch.bincount(train.targets).tolist() == [270, 90, 45]


def test_the_split_depends_on_the_seed_only():
    data = numbered([100, 100])
    first, again, other = (numbers(split(data, 0.2, seed)[1]) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("share", [0.0, 0.1, 0.99])
def test_both_sides_get_at_least_one_of_each_class(share: float):
    train, validation = split(numbered([2, 3]), share, seed=1)
    assert set(train.targets.tolist()) == set(validation.targets.tolist()) == {0, 1}


def test_a_class_with_one_image_cannot_be_split():
    with pytest.raises(DatasetError, match="class 'b' has fewer than two images"):
        split(numbered([5, 1]), 0.1, seed=1)


def test_images_without_classes_lie_anywhere(tmp_path: Path):
    files = {"a.png": plain(10), "deep/er/b.png": plain(20), "c/d.png": plain(30), "notes.txt": b"no picture"}
    told: list[tuple[int, int]] = []
    folder = load_images(write_files(tmp_path / "some", files), SPEC, lambda *counts: told.append(counts))
    assert (folder.shape, folder.dtype) == ((3, 3, 8, 8), torch.uint8)
    assert sorted(folder[:, 0, 0, 0].tolist()) == [10, 20, 30]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert torch.equal(load_images(write_zip(tmp_path / "some.zip", files), SPEC), folder)


def test_linked_folders_are_entered_once(tmp_path: Path):
    write_files(tmp_path / "elsewhere", {"z.png": plain(10)})
    folder = write_files(tmp_path / "x", {"dog/a.png": plain(20)})
    (folder / "cat").symlink_to(tmp_path / "elsewhere")
    (folder / "dog" / "again").symlink_to(folder)
    (folder / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert list_images(folder) == ["cat/z.png", "dog/a.png"]


def test_a_folder_that_cannot_be_read_is_no_class_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_files(tmp_path / "x", FILES)
    real = os.scandir

    def scandir(path: str) -> Any:  # permissions mean nothing to root
        if path.endswith("cat"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DatasetError, match="cat: cannot be read: Permission denied"):
        load_dataset(folder, SPEC)


def test_without_images_there_is_nothing_to_measure(tmp_path: Path):
    with pytest.raises(DatasetError, match="holds no image files"):
        load_images(write_files(tmp_path / "none", {"notes.txt": b""}), SPEC)
    with pytest.raises(DatasetError, match=r"bad\.png"):
        load_images(write_files(tmp_path / "broken", {"bad.png": b"\x89PNG"}), SPEC)
    with pytest.raises(DatasetError, match=r"not one of its images can be read:\n  bad\.png"):
        load_images(tmp_path / "broken", SPEC, skipped=[])


def test_a_file_that_the_disk_does_not_give_is_listed_without_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_files(tmp_path / "x", {"a.png": plain(1), "b.png": plain(2)})
    real = Path.read_bytes

    def read_bytes(self: Path) -> bytes:  # permissions mean nothing to root
        if self.name == "b.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    skipped: list[BrokenFile] = []
    assert len(load_images(path, SPEC, skipped=skipped)) == 1
    assert skipped == [BrokenFile("x", "b.png", "cannot be read: Permission denied")]
