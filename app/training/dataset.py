"""Owns image folders → tensors and the split; does not augment."""

import hashlib
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.domain import PreprocessSpec
from app.errors import DatasetError, RequestError
from app.imaging.decode import DecodeLimits, Pixels
from app.imaging.files import is_image, list_images
from app.imaging.resample import preprocess
from app.training.broken import BrokenFile, listing

# What zipfile raises on members that are damaged, encrypted or packed by a method that Python lacks.
_READ_ERRORS: Final = (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
Progress = Callable[[int, int], None]  # (done, total)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images in memory as the network's input size: uint8 (n, 3, height, width), int64 (n,), class names."""

    images: Tensor
    targets: Tensor
    classes: tuple[str, ...]

    def subset(self, index: Tensor) -> "Dataset":
        """The images at `index`, in that order."""
        return Dataset(self.images[index], self.targets[index], self.classes)

    def fingerprint(self) -> str:
        """Hex digest of pixels, targets and class names: two datasets that train alike have the same."""
        digest = hashlib.sha256(repr((self.classes, tuple(self.images.shape))).encode())
        digest.update(self.targets.contiguous().numpy().data)
        digest.update(self.images.contiguous().numpy().data)
        return digest.hexdigest()


def load_dataset(
    path: Path,
    spec: PreprocessSpec,
    progress: Progress = lambda done, total: None,
    skipped: list[BrokenFile] | None = None,
) -> Dataset:
    """Reads a folder or zip of images; the class is the name of the folder an image lies in.

    Every image goes through the same decoder and preprocessing as in serving. Hidden files are left out. Given a list,
    broken files are added to it and left out; else they are an error that names them.
    Raises DatasetError if there is nothing to read, one class only, an image outside the class folders, or no image of
    a class that can be read.
    """
    with ImageFiles(path) as files:
        files.check_folders()
        numbers = {name: i for i, name in enumerate(sorted({class_of(name) for name in files.names}))}
        if len(numbers) < 2:
            raise DatasetError(
                f"{path}: found {len(files.names)} images, {len(numbers)} classes; at least two classes are needed"
            )
        names, pixels = read_pixels(files, files.names, spec, progress, skipped)
        targets = [numbers[class_of(name)] for name in names]
        if gone := sorted(numbers.keys() - {class_of(name) for name in names}):
            of_class = [file for file in skipped or () if class_of(file.name) == gone[0]]
            raise DatasetError(f"{path}: not one image of class {gone[0]!r} can be read:\n{listing(of_class)}")
    return Dataset(_channels_first(pixels), torch.tensor(targets), tuple(numbers))


def load_images(
    path: Path,
    spec: PreprocessSpec,
    progress: Progress = lambda done, total: None,
    skipped: list[BrokenFile] | None = None,
) -> Tensor:
    """Reads a folder or zip of images without classes, wherever they lie in it: uint8 (n, 3, height, width).

    Broken files as in `load_dataset`. Raises DatasetError if there is nothing to read, or nothing that can be.
    """
    with ImageFiles(path) as files:
        if not files.names:
            raise DatasetError(f"{path}: holds no image files")
        names, pixels = read_pixels(files, files.names, spec, progress, skipped)
    if not names:
        raise DatasetError(f"{path}: not one of its images can be read:\n{listing(skipped or ())}")
    return _channels_first(pixels)


def read_pixels(
    files: "ImageFiles",
    names: Sequence[str],
    spec: PreprocessSpec,
    progress: Progress = lambda done, total: None,
    skipped: list[BrokenFile] | None = None,
) -> tuple[list[str], Pixels]:
    """Those of the names that can be read, and their pixels as serving would see them, (n, height, width, 3).

    Broken files as in `load_dataset`. Raises DatasetError after the last file, so that it can name all that are broken
    and not the first alone.
    """
    images = np.empty((len(names), spec.height, spec.width, 3), dtype=np.uint8)
    data, found, broken = files.path.resolve().name, list[str](), list[BrokenFile]()
    for i, name in enumerate(names):
        try:
            preprocess(files.read(name), spec, DecodeLimits(), images[len(found)])
            found.append(name)
        except RequestError as error:
            broken.append(BrokenFile(data, name, str(error)))
        except DatasetError as error:
            broken.append(BrokenFile(data, name, f"cannot be read: {_cause(error)}"))
        progress(i + 1, len(names))
    if skipped is not None:
        skipped += broken
    elif broken:
        raise DatasetError(
            f"{files.path}: {len(broken):,} of {len(names):,} images cannot be read; --skip-broken leaves such "
            f"files out:\n{listing(broken)}"
        )
    return found, images[: len(found)]


def _channels_first(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _cause(error: DatasetError) -> str:
    """Without the path, which the system's own text has in it: what is listed may be published with the model."""
    cause = error.__cause__
    return str(cause.strerror if isinstance(cause, OSError) and cause.strerror else cause)


def split(dataset: Dataset, validation_share: float, seed: int) -> tuple[Dataset, Dataset]:
    """(train, validation), stratified: the same share of every class, drawn with `seed`; at least one image to each.

    Raises DatasetError if a class has fewer than two images.
    """
    sizes = Counter(dataset.targets.tolist())
    if small := [name for label, name in enumerate(dataset.classes) if sizes[label] < 2]:
        raise DatasetError(f"class {small[0]!r} has fewer than two images: one to train on and one to validate with")
    generator = torch.Generator().manual_seed(seed)
    held_out: list[Tensor] = []
    for label in range(len(dataset.classes)):
        members = (dataset.targets == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=generator)
        count = min(max(1, round(len(members) * validation_share)), len(members) - 1)
        held_out.append(members[order[:count]])
    chosen = torch.zeros(len(dataset.targets), dtype=torch.bool)
    chosen[torch.cat(held_out)] = True
    return dataset.subset((~chosen).nonzero().flatten()), dataset.subset(chosen.nonzero().flatten())


def class_of(name: str) -> str:
    """The class of an image of `ImageFiles`: the name of the folder it lies in, or "" for none."""
    return PurePosixPath(name).parent.name


class ImageFiles:
    """The image files of a folder or zip, a context manager; `names` are sorted by class, then by path.

    Images are told by their suffix; hidden files are left out. Raises DatasetError if there is no such thing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive = None if path.is_dir() else self._open(path)
        found = list_images(path) if self._archive is None else self._members(self._archive)
        self.names = sorted(found, key=lambda name: (class_of(name), name))

    def __enter__(self) -> "ImageFiles":
        return self

    def __exit__(self, *error: object) -> None:
        if self._archive is not None:
            self._archive.close()

    def check_folders(self) -> None:
        """Raises DatasetError, naming it, if an image lies in no folder and so has no class."""
        if self.names and not class_of(self.names[0]):  # they are sorted by it
            raise DatasetError(
                f"{self.path}: {self.names[0]} lies in no folder; each image must lie in one named after its class"
            )

    def read(self, name: str) -> bytes:
        """The file's bytes; from any thread. Raises DatasetError if it is damaged, encrypted or gone."""
        try:
            return self._archive.read(name) if self._archive else (self.path / name).read_bytes()
        except _READ_ERRORS as error:
            raise DatasetError(f"{self.path}: {name} cannot be read: {error}") from error

    @staticmethod
    def _open(path: Path) -> zipfile.ZipFile:
        if not path.exists():
            raise DatasetError(f"{path}: there is no such file or folder")
        try:
            return zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DatasetError(f"{path}: neither a folder nor a zip of images: {error}") from error

    @staticmethod
    def _members(archive: zipfile.ZipFile) -> list[str]:
        return [entry.filename for entry in archive.infolist() if not entry.is_dir() and is_image(entry.filename)]
