"""Owns `vit-serve inspect`: a model told as tables or JSON, and its pictures asked for; computes nothing."""

import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.errors import SetupError

if TYPE_CHECKING:
    from app.checkpoints.own import ModelPackage
    from app.insight.gallery import Picture

_FEW: Final = 5
_DEAD_HEAD: Final = "the head is all zeros: the model cannot classify, but `vit-serve train` can start from it"


def configure(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.description = (
        "Shows a model's layers with shapes, parameters and multiply-accumulate operations (MACs), its constants, "
        "preprocessing and labels; and draws the figures of the ViT paper from its weights: how alike its position "
        "embeddings are, the principal components of its patch filters and, over your photographs, how far its heads "
        "look and what the class token attends to."
    )
    parser.add_argument("model", metavar="MODEL", help="what serve's --model takes: a package's folder, embedded, …")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the pictures (PNG); made if it is not there"
    )
    parser.add_argument(
        "--image",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        dest="images",
        help="a photograph, or a folder of them, to show attention on; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="JSON for machines instead of the tables")


def run(args: Namespace) -> int:
    """Shows and draws; returns the exit code. Raises ArgumentError, SetupError."""
    from app.checkpoints.sources import load_model
    from app.cli.results import write_json_value
    from app.insight.summary import summarise

    if args.images and args.out is None:
        raise ArgumentError(None, "--image is for the pictures: say with --out where to write them")
    photographs = list(_photographs(args.images))
    package = load_model(args.model, for_training=True)  # a head that cannot classify may be looked at
    facts = {**_facts(package), **asdict(summarise(package.network.config))}
    pictures = _draw(package, photographs, args.out) if args.out else []
    if args.json:
        write_json_value({**facts, "pictures": [{**asdict(p), "path": p.path and str(p.path)} for p in pictures]})
    else:
        _write_tables(facts, pictures)
    return 0


def _photographs(given: Sequence[Path]) -> Iterator[Path]:
    from app.imaging.files import list_images

    for path in given:
        if not path.is_dir():
            yield path
        elif names := list_images(path):
            yield from (path / name for name in names)
        else:
            raise SetupError(f"{path}: the folder holds no image files")


def _draw(package: "ModelPackage", photographs: Sequence[Path], directory: Path) -> "list[Picture]":
    from app.cli.progress import file_progress
    from app.insight.gallery import draw

    try:
        directory.mkdir(parents=True, exist_ok=True)
        with file_progress(len(photographs), "attending") as advance:
            return draw(package, photographs, directory, advance)
    except OSError as error:
        raise SetupError(f"{directory}: cannot be written to: {error.strerror}") from error


def _facts(package: "ModelPackage") -> dict[str, Any]:
    """What is known of the model beside its layers, for JSON."""
    config = asdict(package.network.config)
    return {
        "model": package.name,
        "architecture": package.architecture,
        "sha256": package.sha256,
        "notice": package.notice or (_DEAD_HEAD if package.network.has_dead_head else None),
        "config": {name: value for name, value in config.items() if not name.endswith("_rate")},  # for training only
        "preprocess": asdict(package.preprocess),
        "labels": list(package.labels),
        "activation": package.activation,
        "temperature": package.temperature,
    }


def _write_tables(facts: dict[str, Any], pictures: "Sequence[Picture]") -> None:
    from app.cli.results import write_rows

    layers = [
        (
            layer["name"],
            f"{layer['count']} ×" if layer["count"] > 1 else "",
            " × ".join(map(str, layer["shape"])),
            f"{layer['parameters']:,}",
            f"{layer['macs'] / 1e6:,.1f}" if layer["macs"] else "",
        )
        for layer in facts["layers"]
    ]
    total = ("in all", "", "", f"{facts['parameters']:,}", f"{facts['macs'] / 1e6:,.1f}")
    write_rows(
        ("layer", "", "output", "parameters", "million MACs"), [*layers, total], ("", "parameters", "million MACs")
    )
    sys.stdout.write("\n")
    write_rows(("", facts["model"]), list(_about(facts)))
    if pictures:
        sys.stdout.write("\n")
        write_rows(("picture", "", ""), [(p.name, str(p.path) if p.path else "not drawn", p.about) for p in pictures])


def _about(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value of what a person asks about a model."""
    spec, labels = facts["preprocess"], facts["labels"]
    if facts["notice"]:
        yield "note", facts["notice"]
    yield "architecture", facts["architecture"]
    yield (
        "served",
        f"{facts['served_macs'] / 1e9:.3f} GMACs an image: of the last block only the rows that the head reads",
    )
    yield "input", f"{spec['height']} × {spec['width']} px, {spec['interpolation']}"
    yield "crop", f"{spec['crop_mode']}, {spec['crop_pct']:g} of the resized image"
    yield "mean, std", f"{_numbers(spec['mean'])}; {_numbers(spec['std'])}"
    yield "labels", f"{len(labels):,}: {', '.join(labels[:_FEW])}{', …' if len(labels) > _FEW else ''}"
    yield "activation", facts["activation"]
    yield "calibration", f"logits divided by {facts['temperature']:g}"
    yield from ((name, _text(value)) for name, value in facts["config"].items() if value is not None)
    yield "sha256", facts["sha256"] or "none: the weights come from no file"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _text(value: object) -> str:
    return " × ".join(map(str, value)) if isinstance(value, tuple) else str(value)
