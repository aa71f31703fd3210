"""Owns the way from any checkpoint to a model package in memory; does not write files."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from app.checkpoints import unused
from app.checkpoints.families import assumed_family
from app.checkpoints.folder import Files, open_files
from app.checkpoints.infer import CONSTANTS, UNSEEN, WHOLE, Inferred, infer_config
from app.checkpoints.known import check_known, is_known
from app.checkpoints.layouts import sniff
from app.checkpoints.npz import num_heads
from app.checkpoints.own import DEAD_HEAD, ModelPackage
from app.checkpoints.read import StoredTensor
from app.checkpoints.rules import Layout, Match
from app.checkpoints.sidecars import Stated, activation_of, stated
from app.checkpoints.stacked_layers import unstacked
from app.checkpoints.timm_config import check_width
from app.domain import PreprocessSpec
from app.errors import NotOurNetwork, PackageError, printable
from app.network.resize import ResizeMode, resize_patches, resize_state
from app.network.vit import VisionTransformer
from app.package.labels.choose import choose_labels
from app.package.labels.imagenet import LabelSet
from app.package.preprocessing import at_size, preprocess_named, with_channels
from app.package.variants import ViTConfig, variant, variant_names

logger = logging.getLogger(__name__)

_FLOATS: Final = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_RESIZE: Final[dict[str, ResizeMode]] = {
    "timm": "timm",
    "hf": "huggingface",
    "torchvision": "torchvision",
    "npz": "google",
}
_NO_VARIANT: Final = "vit_base_patch16_224"  # the package states every size, so that the name decides nothing


# What an architecture's name stands for, beside whether there is a LayerScale.
_SHAPE: Final = (
    *("patch_size", "embed_dim", "depth", "num_heads", "mlp_width", "backbone_layers", "distilled"),
    *("class_token", "reg_tokens", "global_pool", "pre_norm", "qk_norm", "mlp_layer"),
)


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """What a checkpoint may leave open; None takes what its files say, else the stated default."""

    heads: int | None = None
    preprocess: str | None = None  # one of preprocessing.FAMILIES; default: that of the format
    size: tuple[int, int] | None = None  # pixels, (height, width); the position table is resized to it
    patch_size: int | None = None  # pixels; the patch kernel is resized to it, the images grow in the same ratio
    labels: tuple[str, ...] | None = None
    variant: str | None = None  # one of variant_names(), where the shapes must be its own
    drop_unused: bool = False  # go on when the file holds tensors that have no place
    for_training: bool = False  # take a checkpoint without a head that was trained


@dataclass(frozen=True, slots=True)
class Converted:
    """A package, and what there is to say about its making."""

    package: ModelPackage
    layout: str
    format: str
    dtype: torch.dtype  # of the source
    sha256: Mapping[str, str]  # of the source, by file name
    remarks: tuple[str, ...]  # defaults taken, keys left out


def load_checkpoint(path: Path, options: ConvertOptions = ConvertOptions()) -> ModelPackage:
    """A checkpoint of any format, a file or a folder, as a package ready to serve.

    Raises PackageError that names the file and what is wrong, or UnknownVariant.
    """
    converted = read_checkpoint(path, options)
    for remark in converted.remarks:
        logger.warning("%s: %s", path, remark)
    return converted.package


def read_checkpoint(path: Path, options: ConvertOptions = ConvertOptions()) -> Converted:
    """As `load_checkpoint`, with what a person should be told."""
    files = open_files(path)
    if files.config is not None and "vit_serve" in files.config:
        raise PackageError(f"{path}: is a model package already, which is served as it is; `--to` writes it for others")
    tensors = unstacked(files.tensors)
    found = sniff(tensors, str(path))
    try:
        return _convert(path, files, tensors, found, options)
    except LookupError as error:
        raise PackageError(f"{path}: a tensor is missing or has too few axes: {error}") from error
    except (PackageError, ValueError, TypeError) as error:
        unknown = "architecture" in (files.config or {}) and not is_known((files.config or {})["architecture"])
        kind = NotOurNetwork if unknown or isinstance(error, NotOurNetwork) else PackageError
        raise kind(f"{path}: {error}") from error


def _convert(
    path: Path, files: Files, tensors: Mapping[str, StoredTensor], found: Match, options: ConvertOptions
) -> Converted:
    facts = stated(files.config, files.preprocessor)
    if problems := unused.problems(found, options.drop_unused):
        raise PackageError("; ".join(problems))
    inferred = _infer(found, tensors, facts, options)
    if found.layout.format == "timm":
        check_known(inferred.config, found, options.variant or facts.architecture, path.name)
    if files.config is not None and not (options.heads or options.variant):
        check_width(files.config, inferred.config.embed_dim)
    config, remarks = inferred.config, [f"assumed: {text}" for text in inferred.assumptions]
    architecture = _architecture(config, facts, options)
    state = _read(found, tensors, config)
    modes = _resize_modes(found.layout.format, config, options.variant or facts.architecture or path.name)
    size = options.size or facts.served_size or config.img_size
    if size != config.img_size:
        state, config = resize_state(state, config, size, modes[0])
        remarks += (
            [] if options.size is None else [f"position table resized from {inferred.config.img_size} to {size} px"]
        )
    if options.patch_size is not None and options.patch_size != config.patch_size:
        remarks.append(f"patch kernel resized from {config.patch_size} to {options.patch_size} px")
        state, config = resize_patches(state, config, options.patch_size, modes[1])
        architecture = _architecture(config, facts, replace(options, variant=None))
    spec, assumed = _preprocess(found.layout, path, files, config, facts, options)
    if spec.channels != config.in_chans:
        spec = with_channels(spec, config.in_chans)
        remarks.append(f"assumed: mean {spec.mean[0]:.4g} and std {spec.std[0]:.4g}, the average of the colours'")
    labels = _labels(config, files, options, headless="head.weight" not in found.sources)
    with torch.device("meta"):
        network = VisionTransformer(config)
    network.load_state_dict(state, assign=True)
    if network.has_dead_head and not options.for_training:
        raise PackageError(DEAD_HEAD)
    remarks += [*files.remarks, assumed] if assumed else files.remarks
    activation = activation_of(facts.activation, config.num_classes if "head.weight" in found.sources else 0)
    if activation == "sigmoid" and facts.activation is None and found.layout.format != "hf":
        remarks.append("assumed: the score of its one class is a sigmoid")
    remarks += [f"left out: {key} ({reason})" for key, reason in sorted(found.ignored.items())]
    remarks += [f"left out: {key!r} (unknown)" for key in sorted(found.unused)]
    tag = facts.tag or re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem if path.is_file() else path.resolve().name).strip("-")
    package = ModelPackage(
        name=f"{architecture}.{tag}",
        architecture=architecture,
        network=network.eval().requires_grad_(False),
        labels=labels.names,
        label_ids=labels.ids,
        preprocess=spec,
        sha256=next(iter(files.sha256.values())) if len(files.sha256) == 1 else None,
        activation=activation,
        convolutional=config.backbone_layers is not None,
    )
    return Converted(
        package, found.layout.name, found.layout.format, _dtype(files), files.sha256, tuple(map(printable, remarks))
    )


def _resize_modes(kind: str, config: ViTConfig, name: str) -> tuple[ResizeMode, ResizeMode]:
    """How the library whose format it is resizes the position table, and how the patch kernel."""
    if kind == "timm" and "flexi" in name.lower():  # timm, too, goes by the name
        return "timm_npz", "timm_npz"
    table = "timm" if config.reg_tokens else _RESIZE[kind]  # so does DINOv2's class with registers
    return table, "timm_npz" if kind == "npz" else "timm"


def _infer(found: Match, tensors: Mapping[str, StoredTensor], facts: Stated, options: ConvertOptions) -> Inferred:
    shapes = _shapes(found, tensors)
    if "head.weight" not in shapes:
        if not options.for_training:
            raise PackageError("it has no head to classify with; as a start it can be used, `vit-serve train --from`")
        features = shapes.get("pre_logits.fc.weight", shapes["patch_embed.proj.weight"])[0]
        shapes |= {"head.weight": (1, features), "head.bias": (1,)}
    shapes |= {name: shapes[name.replace("head_dist", "head")] for name in found.layout.zeros}
    chosen = variant(options.variant) if options.variant else None
    heads = options.heads or (chosen.num_heads if chosen else None) or facts.num_heads
    if heads is None and facts.architecture is not None:
        raise PackageError(
            f"config.json does not say how many heads {ascii(facts.architecture)} has: bring it into a package with "
            "`vit-serve convert --heads N`"
        )
    heads = heads or num_heads({key: stored.shape for key, stored in tensors.items()})
    whole = {} if found.layout.format == "timm" else WHOLE
    constants = {**CONSTANTS[found.layout.format], **whole, **found.layout.constants, **facts.constants}
    if chosen and found.layout.format == "timm":
        constants = {name: getattr(chosen, name) for name in UNSEEN} | constants
    inferred = infer_config(shapes, constants, heads, facts.img_size, options.size)
    _check_shapes(shapes, inferred.config)
    return inferred


def _shapes(found: Match, tensors: Mapping[str, StoredTensor]) -> dict[str, tuple[int, ...]]:
    """Of our tensors, by carrying out the transforms without memory."""
    shapes = {}
    for ours, source in found.sources.items():
        parts = [torch.empty(tensors[key].shape, device="meta") for key in source.keys if key is not None]
        try:
            shapes[ours] = tuple(source.transform.inward(parts).shape)
        except (RuntimeError, IndexError, ZeroDivisionError) as error:
            found_shapes = ", ".join(f"{key!r} {tuple(p.shape)}" for key, p in zip(source.keys, parts, strict=True))
            raise PackageError(f"the shape of {found_shapes} is not that of its kind") from error
    return shapes


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], config: ViTConfig) -> None:
    with torch.device("meta"):
        expected = {name: tuple(t.shape) for name, t in VisionTransformer(config).state_dict().items()}
    problems = [f"there is no tensor for {name!r}" for name in expected.keys() - shapes.keys()]
    problems += [f"the tensor for {name!r} has no place in the network" for name in shapes.keys() - expected.keys()]
    problems += [
        f"{name!r} has shape {shapes[name]}, the network wants {expected[name]}"
        for name in expected.keys() & shapes.keys()
        if shapes[name] != expected[name]
    ]
    if problems:
        raise PackageError("; ".join(sorted(problems)))


def _read(found: Match, tensors: Mapping[str, StoredTensor], config: ViTConfig) -> dict[str, Tensor]:
    """Our tensors as float32; one at a time, so that memory holds the file's content about once."""
    with torch.device("meta"):
        expected = VisionTransformer(config).state_dict()
    state = {}
    for name, empty in expected.items():
        source = found.sources.get(name)
        if source is None:  # what `_infer` allowed to be absent
            state[name] = torch.zeros(empty.shape)
            continue
        keys = [key for key in source.keys if key is not None]
        if odd := next((key for key in keys if tensors[key].dtype not in _FLOATS), None):
            raise PackageError(f"{odd!r} does not hold floating-point numbers")
        tensor = source.transform.inward([tensors[key].read() for key in keys]).to(torch.float32).contiguous()
        if not tensor.isfinite().all():
            raise PackageError(f"{', '.join(keys)!r} holds values that are no finite numbers")
        state[name] = tensor
    return state


def _preprocess(
    layout: Layout, path: Path, files: Files, config: ViTConfig, facts: Stated, options: ConvertOptions
) -> tuple[PreprocessSpec, str | None]:
    height, width = config.img_size
    if options.preprocess is not None:
        return preprocess_named(options.preprocess, height, width), None
    if facts.preprocess is not None:
        return at_size(facts.preprocess, height, width), None
    family, other = assumed_family(layout, config, path.name, files.sha256)
    remark = f"assumed: images prepared as for {family} (--preprocess)"
    return preprocess_named(family, height, width), f"{remark}; {other}" if other else remark


def _architecture(config: ViTConfig, facts: Stated, options: ConvertOptions) -> str:
    """The variant of this shape, at this size if there is one; else any, for the package states the whole shape."""

    def unlike(name: str) -> list[str]:
        theirs = variant(name)
        differing = [field for field in _SHAPE if getattr(theirs, field) != getattr(config, field)]
        scaled = (theirs.init_values is None) == (config.init_values is None)
        return differing if scaled else [*differing, "init_values"]

    if options.variant is not None:
        if differing := unlike(options.variant):
            raise PackageError(f"its shape is not that of {options.variant}: {', '.join(differing)} differ")
        return options.variant
    known = variant_names()
    if facts.architecture in known and not unlike(facts.architecture):
        return facts.architecture
    names = [name for name in known if not unlike(name)]
    return next((name for name in names if variant(name).img_size == config.img_size), (names or [_NO_VARIANT])[0])


def _labels(config: ViTConfig, files: Files, options: ConvertOptions, headless: bool) -> LabelSet:
    if options.labels is not None:
        return choose_labels({"label_names": list(options.labels)}, config.num_classes)
    return choose_labels({} if headless else files.config or {}, config.num_classes, files.class_indices)


def _dtype(files: Files) -> torch.dtype:
    """The source's, where all of it is of one that packages keep; else float32."""
    kinds = {stored.dtype for stored in files.tensors.values()}
    half = {torch.float16, torch.bfloat16}
    return kinds.pop() if len(kinds) == 1 and kinds <= half else torch.float32
