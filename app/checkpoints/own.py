"""Owns a model package in memory and on disk, a directory in timm's hub layout; does not know foreign checkpoints.

`config.json` and `model.safetensors` travel to and from timm; what is ours stands under the key `vit_serve`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from app.errors import PackageError
from app.network.library import Network
from app.network.vit import VisionTransformer
from app.package.config import CONFIG_NAME, WEIGHTS_NAME, file_sha256
from app.package.description import PackageDescription, read_description
from app.package.preprocessing import preprocess_to_timm
from app.package.variants import ViTConfig, variant

# Written for every package, as timm does; the other fields where they are not the variant's own.
TIMM_ARGS: Final = ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "qkv_bias")
_ELSEWHERE: Final = ("num_classes",)
_DTYPES: Final = ("F64", "F32", "F16", "BF16")
DEAD_HEAD: Final = (
    "the head is all zeros, so every class would score the same for every image. The original paper's files for "
    "21,843 classes (`…_in21k`) are like that on purpose: they are meant to be fine-tuned. "
    "Use it as a start, `vit-serve train --from`, or serve weights whose head was trained"
)


@dataclass(frozen=True, slots=True)
class NetworkPackage(PackageDescription):
    """A network with its weights (float32, on the CPU, in evaluation mode) and all that is needed to serve it."""

    network: Network = field(repr=False, kw_only=True)

    def description(self) -> PackageDescription:
        """All but the network."""
        return PackageDescription(**{each.name: getattr(self, each.name) for each in fields(PackageDescription)})


@dataclass(frozen=True, slots=True)
class ModelPackage(NetworkPackage):
    """One whose network is ours, so that it can be saved, converted, trained from and looked into."""

    network: VisionTransformer = field(repr=False, kw_only=True)


def load_package(directory: Path, *, for_training: bool = False) -> ModelPackage:
    """Reads and checks a package. One with a dead head is a start `for_training`, and cannot classify.

    Raises PackageError that names the file and, where it applies, the key and both shapes.
    """
    description, vit_config = read_description(directory)
    config_path, weights_path = directory / CONFIG_NAME, directory / WEIGHTS_NAME
    try:
        with torch.device("meta"):  # shapes without memory, until the file is known to have them
            network = VisionTransformer(vit_config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise PackageError(f"{config_path}: {error}") from error
    try:
        network.load_state_dict(_read_weights(weights_path, network), assign=True)
    except OSError as error:
        raise PackageError(f"{weights_path}: cannot be read: {error}") from error
    if network.has_dead_head and not for_training:
        raise PackageError(f"{weights_path}: {DEAD_HEAD}")
    described = {each.name: getattr(description, each.name) for each in fields(description)}
    return ModelPackage(**described, network=network.eval().requires_grad_(False))


def save_package(
    directory: Path,
    package: ModelPackage,
    dtype: torch.dtype = torch.float32,
    notes: Mapping[str, object] | None = None,
) -> str:
    """Writes a package and returns the SHA-256 of its weights; `notes` go beside ours under `vit_serve`.

    Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().to(dtype) for name, tensor in package.network.state_dict().items()}
    write_tensors(directory / WEIGHTS_NAME, state)
    config = package.network.config
    preprocess, own_preprocess = preprocess_to_timm(package.preprocess)
    sha256 = file_sha256(directory / WEIGHTS_NAME)
    calibration = {"temperature": package.temperature}
    if package.threshold is not None:
        calibration["threshold"] = package.threshold
    base, _, tag = package.name.partition(".")
    own: dict[str, object] = {"sha256": sha256, "calibration": calibration}
    if own_preprocess:
        own["preprocess"] = own_preprocess
    if package.source:
        own["source"] = package.source
    if package.activation != "softmax":
        own["activation"] = package.activation
    document = {
        "architecture": package.architecture,
        "num_classes": config.num_classes,
        "num_features": config.embed_dim,
        "global_pool": config.global_pool,
        "model_args": _model_args(config, variant(package.architecture)),
        **_label_keys(package),
        "pretrained_cfg": {
            "tag": tag or base,
            **preprocess,
            "fixed_input_size": True,
            "num_classes": config.num_classes,
            "first_conv": _first_conv(config),
            "classifier": ["head", "head_dist"] if config.distilled else "head",
        },
        "vit_serve": {**own, **(notes or {})},
    }
    (directory / CONFIG_NAME).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return sha256


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a safetensors file. Raises OSError."""
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
    except SafetensorError as error:  # a full disk, too
        raise OSError(str(error)) from error
    path.chmod(0o644)  # safetensors makes it its owner's alone, and a container is somebody else


def _read_weights(path: Path, network: VisionTransformer) -> dict[str, Tensor]:
    """The tensors as float32; keys and shapes are compared before anything is allocated."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no iterator
            found = {name: tuple(each.get_shape()) for name, each in slices.items()}
            problems = [f"key {name!r} is missing" for name in expected.keys() - found.keys()]
            problems += [f"key {name!r} is not part of the network" for name in found.keys() - expected.keys()]
            problems += [
                f"{name!r} has shape {found[name]}, the network wants {expected[name]}"
                for name in expected.keys() & found.keys()
                if found[name] != expected[name]
            ]
            problems += [
                f"{name!r} holds {each.get_dtype()}, not numbers of {', '.join(_DTYPES)}"
                for name, each in slices.items()
                if each.get_dtype() not in _DTYPES
            ]
            if problems:
                raise PackageError(f"{path}: " + "; ".join(sorted(problems)[:8]) + (" …" if len(problems) > 8 else ""))
            state: dict[str, Tensor] = {name: file.get_tensor(name).to(torch.float32) for name in expected}
    except SafetensorError as error:
        raise PackageError(f"{path}: not a valid safetensors file: {error}") from error
    if broken := [name for name, tensor in state.items() if not tensor.isfinite().all()]:
        raise PackageError(f"{path}: {broken[0]!r} holds values that are no finite numbers")
    return state


def _model_args(config: ViTConfig, base: ViTConfig) -> dict[str, object]:
    """timm's constructors' arguments, a stem's widths, and of ours those that differ from the variant's."""
    usual = asdict(base)
    return {
        name: value
        for name, value in asdict(config).items()
        if name in TIMM_ARGS
        or (name in ("stem_widths", "lite_stages") and value)
        or (value != usual[name] and name not in _ELSEWHERE and not name.endswith("_rate"))
    }


def _label_keys(package: ModelPackage) -> dict[str, object]:
    """As timm has them: a unique name a class, which are WordNet's ids where there are some, then also described."""
    if not package.label_ids:
        return {"label_names": list(package.labels)}
    descriptions = dict(zip(package.label_ids, package.labels, strict=True))
    return {"label_names": list(package.label_ids), "label_descriptions": descriptions}


def _first_conv(config: ViTConfig) -> str:
    if config.backbone_layers is None and not config.lite_stages:
        return "patch_embed.proj"
    return (
        "patch_embed.backbone.stem.conv"
        if config.backbone_layers or config.lite_stages
        else "patch_embed.backbone.conv"
    )
