"""Owns the way from a model package to another library's files; does not read foreign files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from app.checkpoints import hf_classes, npz, timm, torchvision
from app.checkpoints.infer import CONSTANTS
from app.checkpoints.own import ModelPackage, load_package, write_tensors
from app.checkpoints.rules import Dims, Layout, write
from app.checkpoints.timm_config import timm_arguments
from app.checkpoints.transformers_config import hf_config, hf_preprocessor
from app.errors import PackageError
from app.package.config import CONFIG_NAME, WEIGHTS_NAME, read_json
from app.package.preprocessing import preprocess_to_timm
from app.package.variants import ViTConfig, variant
from app.package.whole import written_whole

FORMATS: Final[dict[str, tuple[Layout, ...]]] = {
    "timm": timm.LAYOUTS,
    "hf": hf_classes.LAYOUTS,  # not the first that has a place, but by what the network is
    "torchvision": torchvision.LAYOUTS,
    "npz": npz.LAYOUTS,
}
_GRID_ONLY: Final = ("timm", "npz, big_vision")  # layouts whose position table may lack the prefix tokens' rows
_FOLDERS: Final = ("timm", "hf")
# Biases that a network may lack, and a format with no way to say so has everywhere: zeros say the same.
_BIASES: Final = dict.fromkeys(("torchvision", "npz"), ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"))
# What neither torchvision's nor Google's network can have otherwise.
_PLAIN: Final[dict[str, Any]] = {
    **{"class_token": True, "reg_tokens": 0, "global_pool": "token", "pre_norm": False, "final_norm": True},
    **{"norms_pooled": False, "qk_norm": False, "init_values": None, "mlp_layer": "mlp"},
}
_OF_HYBRIDS: Final = ("group_norm_eps", "standardization", "standardization_eps")
_TORCH: Final = (".pth", ".pt", ".bin")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and what a person should know of it."""

    layout: str
    remarks: tuple[str, ...]


def export_package(package: Path, kind: str, destination: Path) -> Exported:
    """Writes a package's tensors, bit for bit, under the names of `kind`, one of FORMATS.

    `destination` is a file (.safetensors, .pth, .npz), or for timm and hf a folder with their configuration beside.
    Raises PackageError if the format has no place for what the network has, or there is something at `destination`.
    """
    _check_destination(kind, destination)
    loaded = load_package(package, for_training=True)
    config = loaded.network.to("meta").config  # its numbers are read again, as they lie in the file
    with safe_open(package / WEIGHTS_NAME, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no iterator
    _check_kind(kind, config)
    built = timm_arguments(config, loaded.architecture) if kind == "timm" else None
    layout, written = _layout(kind, state, config)
    remarks = [
        f"{kind} has {name} {usual!r} where this network has {value!r}: its answers will differ a little"
        for name, usual in _constants(kind, config, built and built[0]).items()
        if (value := getattr(config, name)) != usual
    ]
    if built and destination.suffix:
        remarks.append(f"timm builds it by create_model({built[0]!r}, num_classes={config.num_classes}, **{built[1]})")
    if kind == "hf" and destination.suffix:
        name = hf_classes.class_of(layout)
        remarks.append(f"the names are those of {name}; transformers needs its config.json too, which a folder gets")
    _save(destination, written, _documents(layout, loaded, package, built))
    return Exported(layout.name, (*remarks, *_unsaid(kind, loaded)))


def _unsaid(kind: str, package: ModelPackage) -> list[str]:
    """What a package has and the format has no place for, but changes the answers."""
    remarks, config, spec = [], package.network.config, package.preprocess
    if config.mirror:
        remarks.append(f"{kind} does not average with the mirror image, as this network does: its answers will differ")
    if kind == "timm" and config.representation_size:
        remarks.append("timm 1.0 leaves out the layer before the head (pre_logits) when it loads this")
    if package.activation != "softmax" and kind != "hf":
        remarks.append(f"{kind} does not say what makes scores of logits; here the activation is {package.activation}")
    if kind == "hf" and package.activation == "none":
        remarks.append(
            "transformers' pipeline gives a regression's numbers only if called with function_to_apply='none'"
        )
    if package.temperature != 1:
        remarks.append(
            f"{kind} does not divide the logits by the temperature {package.temperature:g}, as we do: scores differ"
        )
    if kind == "timm" and (own := preprocess_to_timm(spec)[1]):
        remarks.append(
            f"timm cannot say {', '.join(own)} of how images are prepared: it will do so a little differently"
        )
    if kind == "hf" and (spec.crop_mode == "border" or (spec.crop_mode == "center" and spec.height != spec.width)):
        remarks.append(
            f"transformers has no crop mode {spec.crop_mode} for {spec.height} x {spec.width} px: it will cut elsewhere"
        )
    if kind == "hf" and spec.library == "tensorflow":
        remarks.append("transformers resizes with Pillow, not as TensorFlow does: its pixels will differ a little")
    if kind not in _FOLDERS:
        remarks.append(f"{kind} does not say how images are prepared; here it is {spec}")
    return remarks


def _check_destination(kind: str, destination: Path) -> None:
    if destination.exists():
        raise PackageError(f"{destination}: is there already; nothing was written")
    suffix = destination.suffix
    if (suffix == ".npz") != (kind == "npz") or (
        suffix not in (".npz", ".safetensors", *_TORCH) and kind not in _FOLDERS
    ):
        wanted = (
            ".npz" if kind == "npz" else "one of .safetensors, .pth" + (", or a folder" if kind in _FOLDERS else "")
        )
        raise PackageError(f"{destination}: for {kind} it must be {wanted}")


def _layout(kind: str, state: Mapping[str, Tensor], config: ViTConfig) -> tuple[Layout, dict[str, Tensor]]:
    """The first layout with a place for every tensor, and the tensors under its names."""
    if config.position not in ("none", "1d"):
        raise PackageError(f"no other library has positions of the kind {config.position!r}")
    if kind == "hf":
        return hf_classes.as_transformers(_with_positions(state, config), config)
    homeless: tuple[str, ...] = ()
    for layout in FORMATS[kind]:
        if config.no_embed_class and kind == "npz" and layout.name not in _GRID_ONLY:
            continue
        mine = _with_biases(kind, state)
        if layout.name not in _GRID_ONLY:
            mine = _with_positions(mine, config)
        written, left = write(layout, mine, Dims(config.num_heads))
        if not any(not name.startswith("head") or state[name].any() for name in left):  # a head of zeros says nothing
            return layout, written
        homeless = homeless or left
    raise PackageError(f"{kind} has no place for {', '.join(homeless[:6])}{' …' if len(homeless) > 6 else ''}")


def _with_positions(state: Mapping[str, Tensor], config: ViTConfig) -> dict[str, Tensor]:
    """The tensors, and a position for every token: zeros say the same where there is none."""
    mine = dict(state)
    if config.position == "none":
        mine["pos_embed"] = mine["blocks.0.norm1.weight"].new_zeros(1, config.num_tokens, config.embed_dim)
    elif config.no_embed_class:
        mine["pos_embed"] = F.pad(mine["pos_embed"], (0, 0, config.num_prefix_tokens, 0))
    return mine


def _check_kind(kind: str, config: ViTConfig) -> None:
    """Raises PackageError for a network that the format's library would take for another, or could not build."""
    if kind in ("torchvision", "npz"):
        odd = [f"{name} {getattr(config, name)!r}" for name, usual in _PLAIN.items() if getattr(config, name) != usual]
        if odd:
            raise PackageError(f"{kind} has no place for {', '.join(odd)}; timm has: --to timm")
    height, width = config.img_size
    if kind == "torchvision" and config.in_chans != 3:
        raise PackageError(f"torchvision takes RGB alone, and this network {config.in_chans} channels: --to timm or hf")
    if kind == "torchvision" and (height != width or height % config.patch_size):
        raise PackageError(
            f"torchvision takes one image_size, a multiple of the patch, and this network {height} x {width} px with "
            f"patches of {config.patch_size}: convert it at another --size first, or --to timm or hf"
        )


def _with_biases(kind: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, and zeros for the biases that the format has and the network has not."""
    complete = dict(state)
    for name, weight in state.items():
        module, _, leaf = name.rpartition(".")
        if leaf == "weight" and module.endswith(_BIASES.get(kind, ())):
            complete.setdefault(f"{module}.bias", weight.new_zeros(len(weight)))
    return complete


def _constants(kind: str, config: ViTConfig, architecture: str | None) -> dict[str, Any]:
    """What the format's library computes with, as far as this network has a use for it."""
    usual = ViTConfig() if architecture is None else variant(architecture)
    names = {name for each in CONSTANTS.values() for name in each}
    if config.backbone_layers is None:
        names -= {*_OF_HYBRIDS}
    if kind == "hf":  # its config.json says these
        names -= {"norm_eps", "gelu"}
    if kind == "timm":
        names -= {"gelu"}  # so do its arguments
    return {name: CONSTANTS[kind].get(name, getattr(usual, name)) for name in sorted(names)}


def _documents(
    layout: Layout, package: ModelPackage, folder: Path, built: tuple[str, dict[str, Any]] | None
) -> dict[str, dict[str, Any]]:
    """The JSON files that belong beside the weights in a folder; `built`: what timm builds the network of."""
    if layout.format == "hf":
        name = hf_classes.class_of(layout)
        return {
            CONFIG_NAME: hf_config(package, name),
            "preprocessor_config.json": hf_preprocessor(package.preprocess, name),
        }
    if built is not None:  # a package has timm's, and one key of our own
        document = {key: value for key, value in read_json(folder / CONFIG_NAME).items() if key != "vit_serve"}
        pool = package.network.config.global_pool
        stated = {"architecture": built[0], "global_pool": pool, "model_args": built[1]}
        return {CONFIG_NAME: {**document, **stated}}
    return {}


def _save(destination: Path, tensors: Mapping[str, Tensor], documents: Mapping[str, dict[str, Any]]) -> None:
    try:
        with written_whole(destination) as draft:
            _write(draft, tensors, documents)
    except (OSError, RuntimeError) as error:  # a full disk is one or the other, by format
        raise PackageError(f"{destination}: cannot be written: {error}") from error


def _write(path: Path, tensors: Mapping[str, Tensor], documents: Mapping[str, dict[str, Any]]) -> None:
    if path.suffix == ".npz":
        np.savez(path, **{name: _array(tensor) for name, tensor in tensors.items()})  # type: ignore[arg-type]
        return
    if path.suffix in _TORCH:
        torch.save({name: tensor.clone() for name, tensor in tensors.items()}, path)
        return
    weights = path
    if path.suffix != ".safetensors":
        path.mkdir()
        weights = path / WEIGHTS_NAME
        for name, content in documents.items():
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            (path / name).write_text(text, encoding="utf-8")
    write_tensors(weights, tensors)


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    """In the order of JAX; bfloat16, which numpy does not know, as two bytes without meaning, as JAX does."""
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view("V2")
    return np.ascontiguousarray(tensor.numpy())
