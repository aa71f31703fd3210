"""Owns `vit-serve convert`: options, what is told of a conversion, exit code; does not convert."""

import json
import re
import shlex
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import NotOurNetwork, PackageError
from app.package.preprocessing import FAMILIES

if TYPE_CHECKING:
    from app.checkpoints.load import ConvertOptions

_FORMATS: Final = ("timm", "hf", "torchvision", "npz")
_LARGEST_PATCH_PX: Final = 64
_DESCRIPTION: Final = (
    "Brings a checkpoint of timm (the tutorial, DeiT), Hugging Face, torchvision or Google's JAX code into a model "
    "package that `vit-serve serve --model DST` takes. SRC is a file (.safetensors, .pth, .bin, .npz) or a folder as "
    "on the hub; its format is told from its content, and nothing in it is executed. With --to it goes the other way, "
    "bit for bit: SRC is a package, DST a file, or for timm and hf a folder with their configuration beside."
)


def configure(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "source",
        metavar="SRC",
        help="checkpoint, or hf-hub:owner/name[@revision], or timm:name; with --to a model package",
    )
    parser.add_argument("destination", type=Path, metavar="DST", help="what to write; must not be there yet")
    parser.add_argument("--to", choices=_FORMATS, help="write a package in this library's names")
    open_ = parser.add_argument_group("what a checkpoint may leave open", "The output names every default taken.")
    open_.add_argument(
        "--heads", type=int, metavar="N", help="attention heads; default: of 64 channels each, or 16 of a width of 1280"
    )
    open_.add_argument("--variant", help="architecture that it must be, see `vit-serve models`; settles the heads")
    open_.add_argument(
        "--size", metavar="PX|HxW", help="size of the images; the position table is resized if it is for another"
    )
    open_.add_argument(
        "--patch-size",
        type=int,
        metavar="PX",
        help="patches of this size (FlexiViT's resizing of their kernel); the images grow or shrink in the same ratio",
    )
    open_.add_argument(
        "--preprocess",
        choices=FAMILIES,
        help="whose way to prepare an image; default: the files' beside the weights, else that of the format",
    )
    open_.add_argument(
        "--labels", type=Path, metavar="FILE", help="names of the classes: one a line, or a JSON list or {index: name}"
    )
    open_.add_argument("--drop-unused", action="store_true", help="go on without tensors that have no place in a ViT")
    open_.add_argument(
        "--for-training", action="store_true", help="take weights without a trained head, as a start for `train`"
    )


def run(args: Namespace) -> int:
    """Converts and tells about it; returns the exit code. Raises ArgumentError, SetupError."""
    return _back(args) if args.to else _into_package(args)


def _into_package(args: Namespace) -> int:
    from app.checkpoints import hub
    from app.checkpoints.load import read_checkpoint
    from app.checkpoints.located import find, from_hub
    from app.checkpoints.own import save_package
    from app.checkpoints.providers import timm_names
    from app.checkpoints.providers.load import needs_ours
    from app.package.whole import written_whole

    if args.destination.exists():
        raise PackageError(f"{args.destination}: is there already; nothing was written")
    options = _options(args)
    on_hub = args.source.partition(":")[0] in (hub.SCHEME, timm_names.SCHEME)
    path, snapshot = find(args.source) if on_hub else (Path(args.source), None)
    try:
        result = read_checkpoint(path, options)
    except NotOurNetwork as refusal:
        raise needs_ours(path, refusal) from refusal
    package = from_hub(result.package, snapshot) if snapshot else result.package
    name = snapshot.repository if snapshot else Path(args.source).name
    source = {"name": name, "format": result.layout, "sha256": dict(result.sha256)}
    try:
        with written_whole(args.destination) as draft:
            save_package(draft, package, result.dtype, {"checkpoint": source})
    except OSError as error:
        raise PackageError(f"{args.destination}: cannot be written: {error}") from error
    config, spec = package.network.config, package.preprocess
    parameters = sum(parameter.numel() for parameter in package.network.parameters())
    for name, digest in result.sha256.items():
        sys.stdout.write(f"{name}: SHA-256 {digest}\n")
    sys.stdout.write(
        f"format: {result.layout}\n"
        f"network: {package.architecture}, {parameters:,} parameters, {config.depth} layers of width "
        f"{config.embed_dim} with {config.num_heads} heads, {config.num_classes:,} classes\n"
        f"images: {spec.height} x {spec.width} px, {spec.crop_mode}, {spec.interpolation}, crop_pct {spec.crop_pct:g}, "
        f"mean {spec.mean}, std {spec.std}\n"
    )
    _tell(result.remarks)
    sys.stdout.write(f"Written to {args.destination}. To serve it:\n")
    sys.stdout.write(f"  vit-serve serve --model {shlex.quote(str(args.destination))}\n")
    return 0


def _back(args: Namespace) -> int:
    from app.checkpoints.export import export_package
    from app.checkpoints.load import ConvertOptions
    from app.checkpoints.located import is_ours
    from app.package.config import CONFIG_NAME

    if given := [field.name for field in fields(ConvertOptions) if getattr(args, field.name)]:
        option = "--" + given[0].replace("_", "-")
        raise ArgumentError(None, f"{option} has no meaning with --to, which writes the package as it is")
    source = Path(args.source)
    if (source / CONFIG_NAME).is_file() and not is_ours(source):
        raise PackageError(
            f"{source}: is no package of ours, which alone --to writes for others; `vit-serve convert SRC DST` makes "
            "one of a checkpoint"
        )
    result = export_package(source, args.to, args.destination)
    sys.stdout.write(f"format: {result.layout}\n")
    _tell(result.remarks)
    sys.stdout.write(f"Written to {args.destination}.\n")
    return 0


def _tell(remarks: tuple[str, ...]) -> None:
    sys.stdout.writelines(f"{remark}\n" for remark in remarks)


def _options(args: Namespace) -> "ConvertOptions":
    from app.checkpoints.load import ConvertOptions

    if args.heads is not None and args.heads < 1:
        raise ArgumentError(None, f"--heads is {args.heads}, but it should be at least 1")
    if args.patch_size is not None and not 0 < args.patch_size <= _LARGEST_PATCH_PX:
        raise ArgumentError(None, f"--patch-size is {args.patch_size}, but it should be from 1 to {_LARGEST_PATCH_PX}")
    return ConvertOptions(
        heads=args.heads,
        preprocess=args.preprocess,
        size=_size(args.size),
        patch_size=args.patch_size,
        labels=_labels(args.labels),
        variant=args.variant,
        drop_unused=args.drop_unused,
        for_training=args.for_training,
    )


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?", text)
    if found is None:
        raise ArgumentError(None, f"--size is {text!r}, but it should be pixels such as 384 or 224x448 (height first)")
    return int(found[1]), int(found[2] or found[1])


def _labels(path: Path | None) -> tuple[str, ...] | None:
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix != ".json":
            return tuple(line.strip() for line in text.splitlines() if line.strip())
        names = json.loads(text)
        if isinstance(names, dict):
            names = [names[str(i)] for i in range(len(names))]
        return tuple(map(str, names))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ArgumentError(None, f"--labels {path} cannot be read: {error!r}") from error
