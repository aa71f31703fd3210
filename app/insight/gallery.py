"""Owns which pictures a model gets, and why it does not get one; neither computes nor draws them itself."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.checkpoints.own import ModelPackage
from app.domain import PreprocessSpec
from app.errors import RequestError, SetupError
from app.imaging.decode import DecodeLimits, Pixels
from app.imaging.resample import preprocess
from app.insight import attention, figures, filters, position

_FEWEST_PX: Final = 320  # a photograph of 32 pixels says little to people
_MOST_ROLLOUTS: Final = 8
_MOST_CELLS: Final = 1400  # of the similarity figure, either way
_LONGEST_MODEL: Final = 44  # letters that fit over the narrowest picture
_LONGEST_PHOTOGRAPH: Final = 32  # beside its row


@dataclass(frozen=True, slots=True)
class Picture:
    """A file that was written, with what it shows; or, where `path` is None, why there is none."""

    name: str
    path: Path | None
    about: str


def draw(
    package: ModelPackage, photographs: Sequence[Path], directory: Path, advance: Callable[[], None] = lambda: None
) -> list[Picture]:
    """Writes the pictures into `directory`, which must be there; `advance` is called after each photograph.

    Raises SetupError, naming the file, if a photograph cannot be read or decoded.
    """
    attended = _attention(package, photographs, directory, advance)  # first, as it is what may fail
    return [
        _position(package, directory / "position-similarity.png"),
        _filters(package, directory / "patch-filters.png"),
        *attended,
    ]


def _position(package: ModelPackage, path: Path) -> Picture:
    name = "position embedding similarity"
    config = package.network.config
    rows, columns = config.grid_size
    table = position.patch_table(package.network)
    if table is None:
        return Picture(name, None, f"position is {config.position}: no embedding is added that could be compared")
    if rows * columns == 1:
        return Picture(name, None, "the grid has one patch, which has no other to be like")
    maps, shown_rows, shown_columns = position.similarity(table, _MOST_CELLS)
    which = f", of the first of {config.num_tables} layers" if config.num_tables > 1 else ""
    title = f"{_short(package.name, _LONGEST_MODEL)}\n{rows} × {columns} patches{which}"
    figures.position_similarity(maps.numpy(), shown_rows, shown_columns, title, path)
    return Picture(name, path, f"cosine between the embeddings of {rows} × {columns} patches{which}")


def _filters(package: ModelPackage, path: Path) -> Picture:
    name = "patch filters"
    layer, weight = filters.pixel_filters(package.network)
    count, channels, height, width = weight.shape
    if channels != 3 or min(height * width, count) < 2:
        return Picture(
            name,
            None,
            f"{layer} has {count} filters of {height} × {width} px and {channels} colours, which make no picture",
        )
    said = ""
    if (components := filters.whitening_filters(weight)) is not None:
        what = f"half of the {count} filters of {layer}, {height} × {width} px; the others are their negatives"
    else:
        components, shares = filters.principal_components(weight)
        what = f"first {len(components)} principal components of the {count} filters of {layer}, {height} × {width} px"
        said = f": {100 * shares.sum():.0f} % of the variance"
    kind = "RGB embedding filters" if layer == "patch_embed.proj" else "Filters of the first convolution"
    figures.patch_filters(components.numpy(), f"{kind}, {_short(package.name, _LONGEST_MODEL)}\n{what}", path)
    return Picture(name, path, what + said)


def _attention(
    package: ModelPackage, photographs: Sequence[Path], directory: Path, advance: Callable[[], None]
) -> list[Picture]:
    distance, rollout = "attention distance", "attention rollout"
    config, spec = package.network.config, package.preprocess
    if config.grid_size == (1, 1):
        return [Picture(name, None, "the grid has one patch, the whole picture") for name in (distance, rollout)]
    if not photographs:
        return [Picture(name, None, "it needs photographs, given with --image") for name in (distance, rollout)]
    patch_px = config.patch_size * config.reduction
    study = attention.study(package.network, _inputs(photographs, spec, advance), patch_px)
    count = f"{len(photographs)} photograph{'s' if len(photographs) > 1 else ''}"
    distance_path, rollout_path = directory / "attention-distance.png", directory / "attention-rollout.png"
    title = f"Attention distance, {_short(package.name, _LONGEST_MODEL)}\none dot a head, mean over {count}"
    distances = study.distances.numpy(), study.renormalised.numpy(), study.uniform
    figures.attention_distance(figures.Distances(*distances, spec.width), title, distance_path)
    beside = "; it begins with their maximum, which is not shown" if config.begins_with_maximum else ""
    shown = [_photo(path, spec, seen) for path, seen in zip(photographs[:_MOST_ROLLOUTS], study.maps, strict=False)]
    figures.attention_rollout(shown, f"Attention rollout, {_short(package.name, _LONGEST_MODEL)}", rollout_path)
    return [
        Picture(distance, distance_path, f"mean over {count}; left as attended, right renormalised over the patches"),
        Picture(rollout, rollout_path, f"from the class token to the patches, for {len(shown)} of {count}{beside}"),
    ]


def _inputs(photographs: Sequence[Path], spec: PreprocessSpec, advance: Callable[[], None]) -> Iterator[Tensor]:
    """Each photograph as the network takes it, (channels, height, width), normalised."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (spec.mean, spec.std))
    for path in photographs:
        yield (torch.from_numpy(_view(path, spec)).permute(2, 0, 1)[: spec.channels] / 255 - mean) / std
        advance()


def _photo(path: Path, spec: PreprocessSpec, seen: Tensor) -> figures.Photo:
    times = -(-_FEWEST_PX // min(spec.height, spec.width))
    fine = _view(path, replace(spec, height=spec.height * times, width=spec.width * times))
    over = attention.enlarge(seen, *fine.shape[:2]).unsqueeze(-1).numpy()
    return figures.Photo(
        _short(path.name, _LONGEST_PHOTOGRAPH), _view(path, spec), seen.numpy(), (fine * over).astype(np.uint8)
    )


def _view(path: Path, spec: PreprocessSpec) -> Pixels:
    """The photograph as serving would see it, with the size of `spec`."""
    pixels = np.empty((spec.height, spec.width, 3), np.uint8)
    try:
        preprocess(path.read_bytes(), spec, DecodeLimits(), pixels)
    except (OSError, RequestError) as error:
        raise SetupError(f"{path}: {error.strerror if isinstance(error, OSError) else error}") from error
    return pixels


def _short(name: str, longest: int) -> str:
    """A name that fits; file names are bytes, and what is not UTF-8 in them becomes question marks."""
    name = name.encode(errors="replace").decode()
    return name if len(name) <= longest else f"{name[: longest // 2]}…{name[-longest // 2 :]}"
