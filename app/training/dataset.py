"""Owns image folders → tensors and the split; does not augment."""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.domain import PreprocessSpec
from app.errors import DatasetError, RequestError
from app.imaging.decode import DecodeLimits
from app.imaging.resample import preprocess

_SUFFIXES: Final = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
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


def load_dataset(path: Path, spec: PreprocessSpec, progress: Progress = lambda done, total: None) -> Dataset:
    """Reads a folder or zip of images; the class is the name of the folder an image lies in.

    Every image goes through the same decoder and preprocessing as in serving.
    Raises DatasetError if there is nothing to read, one class only, or an image is broken.
    """
    names = sorted(_names(path), key=lambda name: (PurePosixPath(name).parent.name, name))
    classes = tuple(sorted({PurePosixPath(name).parent.name for name in names}))
    if len(classes) < 2:
        raise DatasetError(f"{path}: found {len(names)} images in {len(classes)} classes; at least two classes are needed")
    images = np.empty((len(names), spec.height, spec.width, 3), dtype=np.uint8)
    targets = torch.tensor([classes.index(PurePosixPath(name).parent.name) for name in names])
    for i, (name, data) in enumerate(zip(names, _read(path, names), strict=True)):
        try:
            preprocess(data, spec, DecodeLimits(), images[i])
        except RequestError as error:
            raise DatasetError(f"{path}: {name}: {error}") from error
        progress(i + 1, len(names))
    return Dataset(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), targets, classes)


def split(dataset: Dataset, validation_share: float, seed: int) -> tuple[Dataset, Dataset]:
    """(train, validation), stratified: the same share of every class, drawn with `seed`."""
    generator = torch.Generator().manual_seed(seed)
    held_out: list[Tensor] = []
    for label in range(len(dataset.classes)):
        members = (dataset.targets == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=generator)
        held_out.append(members[order[: max(1, round(len(members) * validation_share))]])
    chosen = torch.zeros(len(dataset.targets), dtype=torch.bool)
    chosen[torch.cat(held_out)] = True
    return dataset.subset((~chosen).nonzero().flatten()), dataset.subset(chosen.nonzero().flatten())


def _names(path: Path) -> list[str]:
    if path.is_dir():
        return [p.relative_to(path).as_posix() for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return [n for n in archive.namelist() if PurePosixPath(n).suffix.lower() in _SUFFIXES]
    raise DatasetError(f"{path}: neither a folder nor a zip of images")


def _read(path: Path, names: list[str]) -> Iterator[bytes]:
    if path.is_dir():
        for name in names:
            yield (path / name).read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        for name in names:
            yield archive.read(name)
