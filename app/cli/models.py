"""Owns `vit-serve models`: what can be served and how to name it; builds no network."""

import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from app.errors import PackageError
from app.package.variants import LITE_STAGES, VARIANTS, ViTConfig

_HINT: Final = (
    "Give a name of the first column as `vit-serve serve --model NAME` or `vit-serve classify --model NAME PATH`.\n"
    "A model package of your own is named by its folder, `--model path/to/package`, one on a hub by "
    "`--model hf-hub:owner/name`."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that can be served; the name is what `--model` takes, sizes are in pixels."""

    name: str
    parameters: int
    input_height_px: int
    input_width_px: int
    classes: int
    about: str


def configure(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="table for people (the default), or json"
    )


def run(args: Namespace) -> int:
    """Writes the list; returns the exit code. Raises PackageError if the embedded model is broken."""
    from app.checkpoints.sources import EMBEDDED
    from app.cli.results import write_json_value, write_rows

    rows = list_models(EMBEDDED)
    if args.format == "json":
        write_json_value([asdict(row) for row in rows])
        return 0
    head = ("name", "parameters", "input px", "classes", "what it is")
    sizes = [f"{row.input_height_px} x {row.input_width_px}" for row in rows]
    cells = [
        (r.name, f"{r.parameters:,}", size, f"{r.classes:,}", r.about) for r, size in zip(rows, sizes, strict=True)
    ]
    write_rows(head, cells, numbers=head[1:4])
    sys.stdout.write(f"\n{_HINT}\n")
    return 0


def list_models(embedded: Path) -> list[Row]:
    """The embedded package if it is there, each variant with random weights, and `noop`.

    Raises PackageError if the embedded package cannot be read.
    """
    random = [_row(f"random:{name}", shape, "random weights, for load tests") for name, shape in VARIANTS.items()]
    noop = Row("noop", 0, 224, 224, 1000, "no forward pass, to measure all the rest")
    return [*_embedded_rows(embedded), *random, noop]


def count_parameters(shape: ViTConfig) -> int:
    """What a network of this shape has, without building it; equal to the sum over its tensors."""
    width, patch, prefix = shape.embed_dim, shape.patch_size, shape.num_prefix_tokens
    hidden = int(width * shape.mlp_ratio)
    qkv = 3 * width * width + (3 * width if shape.qkv_bias else 0)
    block = 2 * 2 * width + qkv + width * width + width + 2 * width * hidden + hidden + width
    if shape.position == "relative":
        block += (2 * shape.num_tokens - 1) * (width // shape.num_heads)
    inputs, convolutions = shape.in_chans * patch * patch, 0
    if shape.backbone_layers is not None:
        channels, convolutions = _count_backbone(shape)
        inputs = channels * patch * patch
    elif shape.stem_widths:
        inputs, convolutions = shape.stem_widths[-1], _count_stem(shape)
    elif shape.lite_stages:
        channels, convolutions = _count_lite(shape)
        inputs = channels * patch * patch
    embedding = convolutions + inputs * width + width + prefix * width + _count_positions(shape)
    size = shape.representation_size
    pre_logits = width * size + size if size else 0
    heads = prefix * ((size or width) * shape.num_classes + shape.num_classes)
    return embedding + shape.depth * block + 2 * width + pre_logits + heads


def _count_positions(shape: ViTConfig) -> int:
    height, width = shape.grid_size
    if shape.position in ("none", "relative"):
        return 0
    on_axes = shape.position.startswith("2d")
    patches = (height + width) * (shape.embed_dim // 2) if on_axes else height * width * shape.embed_dim
    return shape.num_tables * (shape.num_prefix_rows * shape.embed_dim + patches)


def _count_backbone(shape: ViTConfig) -> tuple[int, int]:
    """Channels that leave a hybrid's convolutions, and the parameters in them."""
    channels, total = 64, shape.in_chans * 7 * 7 * 64 + 2 * 64
    for i, units in enumerate(shape.backbone_layers or ()):
        width = 64 * 2**i
        shortcut = channels * 4 * width + 2 * 4 * width
        norms, later = 2 * (width + width + 4 * width), 9 * width * width + 4 * width * width
        total += channels * width + shortcut + (units - 1) * 4 * width * width + units * (norms + later)
        channels = 4 * width
    return channels, total


def _count_stem(shape: ViTConfig) -> int:
    widths = [shape.in_chans, 32, *(width for width in shape.stem_widths for _ in range(2))]
    return sum(9 * before * after + 2 * after for before, after in pairwise(widths))


def _count_lite(shape: ViTConfig) -> tuple[int, int]:
    """Channels that leave an EfficientNet, and the parameters in it."""
    channels, total = 32, shape.in_chans * 9 * 32 + 2 * 32
    for stage in LITE_STAGES[: shape.lite_stages]:
        for _ in range(stage.depth):
            middle = channels * stage.expansion
            expand = (channels + 2) * middle if stage.expansion > 1 else 0
            total += expand + (stage.kernel**2 + 2) * middle + (middle + 2) * stage.width
            channels = stage.width
    return channels, total


def _row(name: str, shape: ViTConfig, about: str) -> Row:
    return Row(name, count_parameters(shape), *shape.img_size, shape.num_classes, about)


def _embedded_rows(directory: Path) -> list[Row]:
    from app.package.config import CONFIG_NAME, parse_config

    path = directory / CONFIG_NAME
    if not path.exists():
        return []
    try:
        architecture, shape, labels, _ = parse_config(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise PackageError(f"{path}: {error}") from error
    few = ", ".join(labels.names[:3]) + (", …" if len(labels.names) > 3 else "")
    return [_row("embedded", shape, f"the default, trained: {architecture}; knows {few}")]
