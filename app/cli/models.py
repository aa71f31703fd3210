"""Owns `vit-serve models`: what can be served and how to name it; builds no network."""

import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from app.errors import PackageError
from app.package.config import EMBEDDED
from app.package.parameters import count_parameters
from app.package.variants import VARIANTS, ViTConfig

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
