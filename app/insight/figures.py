"""Owns the pictures, drawn after those of the paper, as PNG files; does not compute what they show."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

Numbers = npt.NDArray[np.floating]
Pixels = npt.NDArray[np.uint8]

_DPI: Final = 150
_MOST_TICKS: Final = 14
_FILTER_COLUMNS: Final = 7
_MAPS_INCHES: Final = 6.5


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph: what the network sees of it, the map over the patches (0 … 1), and both in one, maybe finer."""

    name: str
    seen: Pixels
    attention: Numbers
    under_attention: Pixels


@dataclass(frozen=True, slots=True)
class Distances:
    """Mean attention distances (layers, heads) in pixels of an image `width_px` wide, and that of uniform attention."""

    as_attended: Numbers
    renormalised: Numbers
    uniform: float
    width_px: int


def position_similarity(maps: Numbers, rows: Sequence[int], columns: Sequence[int], title: str, path: Path) -> None:
    """Paper Fig. 7, centre. `maps` (r, c, height, width), -1 … 1, whose tile (i, j) is patch (rows[i], columns[j])."""
    height, width = maps.shape[2:]
    gap = max(1, round(min(height, width) / 7))
    tile = height + gap, width + gap
    mosaic = np.full((len(rows) * tile[0] - gap, len(columns) * tile[1] - gap), np.nan, np.float32)
    for i, j in np.ndindex(len(rows), len(columns)):
        mosaic[i * tile[0] :, j * tile[1] :][:height, :width] = maps[i, j]
    aspect = min(max(mosaic.shape[0] / mosaic.shape[1], 0.5), 2.0)  # of a grid 3 by 12 it would be 1 by 16
    figure = Figure((_MAPS_INCHES / max(aspect, 1) + 1.7, _MAPS_INCHES * min(aspect, 1) + 1.3), layout="constrained")
    figure.suptitle(f"Position embedding similarity\n{title}", fontsize="medium")
    axes = figure.add_subplot(box_aspect=aspect)
    image = axes.imshow(mosaic, cmap="viridis", vmin=-1, vmax=1, interpolation="nearest", aspect="auto")
    _patch_ticks(axes, rows, tile[0], height, down=True)
    _patch_ticks(axes, columns, tile[1], width, down=False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, ticks=[-1, -0.5, 0, 0.5, 1], fraction=0.05)
    bar.set_label("Cosine similarity")
    save(figure, path, dpi=max(_DPI, 1.25 * max(mosaic.shape) / _MAPS_INCHES))  # no cell smaller than a pixel


def patch_filters(filters: Numbers, title: str, path: Path) -> None:
    """Paper Fig. 7, left. `filters` (n, height, width, 3), 0 … 1, drawn seven in a row."""
    columns = min(len(filters), _FILTER_COLUMNS)
    rows = -(-len(filters) // columns)
    figure = Figure((0.95 * _FILTER_COLUMNS, 0.95 * rows + 0.8), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    grid = figure.subplots(rows, _FILTER_COLUMNS, squeeze=False, gridspec_kw={"wspace": 0.05, "hspace": 0.05})
    for place, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if place < len(filters):
            axes.imshow(filters[place], interpolation="nearest")
    save(figure, path)


def attention_distance(study: Distances, title: str, path: Path) -> None:
    """Paper Fig. 7, right: one dot a head; dashed, what attending to all patches alike would give."""
    figure = Figure((9.5, 4.4), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    both = figure.subplots(1, 2, sharey=True)
    named = ("as attended: weight off the patches is lost", "renormalised over the patches")
    layers, heads = study.as_attended.shape
    colours = [f"C{head % 10}" for head in range(heads)]
    for axes, values, name in zip(both, (study.as_attended, study.renormalised), named, strict=True):
        for layer in range(layers):
            axes.scatter([layer + 1] * heads, values[layer], s=18, c=colours, linewidths=0)
        axes.set_title(name, fontsize="medium")
        axes.set_xlabel("Network depth (layer)")
        axes.set_xlim(0.5, layers + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.axhline(study.uniform, color="grey", linestyle="--", linewidth=1, label="uniform attention")
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    both[0].set_ylim(0, 1.1 * max(study.uniform, study.as_attended.max(), study.renormalised.max()))
    both[0].set_ylabel(f"Mean attention distance (px of {study.width_px})")
    both[0].legend(loc="lower right", fontsize="small")
    save(figure, path)


def attention_rollout(photos: Sequence[Photo], title: str, path: Path) -> None:
    """Paper Fig. 6, a row a photograph: what the network sees, where its class token looks, and both in one."""
    height, width = photos[0].seen.shape[:2]
    figure = Figure((3 * 2.7, len(photos) * (2.55 * height / width + 0.12) + 0.6), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(photos), 3, squeeze=False)
    for name, axes in zip(("Input", "Attention", "Input × attention"), grid[0], strict=True):
        axes.set_title(name, fontsize="medium")
    for photo, (left, middle, right) in zip(photos, grid, strict=True):
        left.imshow(photo.seen, interpolation="nearest")
        middle.imshow(photo.attention, cmap="viridis", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
        middle.set_box_aspect(height / width)
        right.imshow(photo.under_attention)
        left.set_ylabel(photo.name, fontsize="small")
        for axes in (left, middle, right):
            axes.set_xticks([])
            axes.set_yticks([])
    save(figure, path)


def _patch_ticks(axes: Axes, patches: Sequence[int], pitch: int, size: int, down: bool) -> None:
    """Numbers the tiles by their patch, from 1 as in the paper, as many as can be read."""
    step = -(-len(patches) // _MOST_TICKS)
    axis = axes.yaxis if down else axes.xaxis
    axis.set_ticks(
        [i * pitch + (size - 1) / 2 for i in range(0, len(patches), step)],
        labels=[str(patch + 1) for patch in patches[::step]],
    )
    axis.set_tick_params(length=0)
    axis.set_label_text(f"Input patch {'row' if down else 'column'}")


def save(figure: Figure, target: Path | BinaryIO, dpi: float = _DPI) -> None:
    """Writes a PNG, in which names are taken as they are."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a dollar in a name is a dollar
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # names may have letters that the font lacks
        figure.savefig(target, dpi=dpi, format="png")
