"""Owns the model package, a directory in timm's hub layout; does not know foreign checkpoints.

`config.json` and `model.safetensors` travel to and from timm; what is ours stands under the key `vit_serve`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from app.domain import PreprocessSpec
from app.errors import PackageError, UnknownVariant
from app.model.labels.choose import choose_labels
from app.model.labels.imagenet import LabelSet
from app.model.preprocessing import preprocess_from_timm, preprocess_to_timm
from app.model.values import height_and_width, items, mapping, number, one_of, whole
from app.model.variants import Gelu, Position, Standardization, ViTConfig, variant
from app.model.vit import VisionTransformer

CONFIG_NAME: Final = "config.json"
WEIGHTS_NAME: Final = "model.safetensors"
# Written for every package, as timm does; the other fields where they are not the variant's own.
TIMM_ARGS: Final = ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "qkv_bias")
_ELSEWHERE: Final = ("num_classes", "in_chans")
_CHOICES: Final = {"position": get_args(Position), "gelu": get_args(Gelu), "standardization": get_args(Standardization)}
_DTYPES: Final = ("F64", "F32", "F16", "BF16")
DEAD_HEAD: Final = (
    "the head is all zeros, so every class would score the same for every image. The original paper's files for "
    "21,843 classes (`…_in21k`) are like that on purpose: they are meant to be fine-tuned. "
    "Use it as a start, `vit-serve train --from`, or serve weights whose head was trained"
)
_MAX_CONFIG_BYTES: Final = 32 * 2**20  # labels of 21,843 classes take 2


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A network with its weights (float32, on the CPU, in evaluation mode) and all that is needed to serve it."""

    name: str
    architecture: str
    network: VisionTransformer = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    preprocess: PreprocessSpec
    sha256: str | None
    temperature: float = 1.0  # logits are divided by it before the softmax; fitted on validation data
    threshold: float | None = (
        None  # least best score of answers that are right in 95 % of the cases; see training/report
    )
    notice: str | None = None  # said with every answer where the weights are not trained ones
    label_ids: tuple[str, ...] = field(default=(), repr=False)  # WordNet's, where the labels are ImageNet's
    source: str | None = None  # hf-hub:owner/name@commit, where they came from there


def load_package(directory: Path, *, for_training: bool = False) -> ModelPackage:
    """Reads and checks a package. One with a dead head is a start `for_training`, and cannot classify.

    Raises PackageError that names the file and, where it applies, the key and both shapes.
    """
    config_path, weights_path = directory / CONFIG_NAME, directory / WEIGHTS_NAME
    for path in (config_path, weights_path):
        if not path.is_file():
            raise PackageError(f"{path}: there is no such file; a model package holds {CONFIG_NAME} and {WEIGHTS_NAME}")
    config = read_json(config_path)
    try:
        architecture, vit_config, labels, spec = parse_config(config)
        own = mapping(config.get("vit_serve", {}), "vit_serve")
        calibration = _own(config, "calibration")
        temperature = number(calibration.get("temperature", 1.0), "temperature")
        if temperature <= 0:
            raise ValueError(f"the calibration temperature is {temperature}; it must be positive")
        threshold = calibration.get("threshold")
        if threshold is not None and not 0 <= number(threshold, "threshold") <= 1:
            raise ValueError(f"the calibration threshold is {threshold}; it must be from 0 to 1")
        with torch.device("meta"):  # shapes without memory, until the file is known to have them
            network = VisionTransformer(vit_config)
    except (TypeError, ValueError, RuntimeError, UnknownVariant) as error:
        raise PackageError(f"{config_path}: {error}") from error
    try:
        sha256 = file_sha256(weights_path)
        if own.get("sha256", sha256) != sha256:
            raise PackageError(f"{weights_path}: SHA-256 is {sha256}, but {config_path} says {own['sha256']}")
        network.load_state_dict(_read_weights(weights_path, network), assign=True)
    except OSError as error:
        raise PackageError(f"{weights_path}: cannot be read: {error}") from error
    if network.has_dead_head and not for_training:
        raise PackageError(f"{weights_path}: {DEAD_HEAD}")
    tag = _pretrained_cfg(config).get("tag")
    return ModelPackage(
        name=f"{architecture}.{tag}" if tag else architecture,
        architecture=architecture,
        network=network.eval().requires_grad_(False),
        labels=labels.names,
        preprocess=spec,
        sha256=sha256,
        temperature=temperature,
        threshold=threshold,
        label_ids=labels.ids,
        source=str(own["source"]) if own.get("source") else None,
    )


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
    document = {
        "architecture": package.architecture,
        "num_classes": config.num_classes,
        "num_features": config.embed_dim,
        "global_pool": "token",
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


def parse_config(config: Mapping[str, Any]) -> tuple[str, ViTConfig, LabelSet, PreprocessSpec]:
    """timm's `config.json` → architecture, shape, labels, preprocessing.

    Values may stand at the top level too, as in older files; what is missing takes timm's defaults.
    Raises ValueError, TypeError or UnknownVariant with a message fit for a person.
    """
    architecture = config.get("architecture")
    if not isinstance(architecture, str):
        raise ValueError("the key 'architecture' is missing or no text")
    pretrained, model_args = _pretrained_cfg(config), mapping(config.get("model_args", {}), "model_args")
    if unknown := sorted(set(model_args) - {f.name for f in fields(ViTConfig)}):
        raise ValueError(f"model_args {unknown} are not understood")
    args = {name: _argument(name, value) for name, value in model_args.items() if value is not None}
    num_classes = config.get("num_classes", pretrained.get("num_classes"))
    if num_classes is not None:
        args["num_classes"] = whole(num_classes, "num_classes")
    base = variant(architecture)
    sizes = pretrained.get("input_size", (base.in_chans, *args.get("img_size", base.img_size)))
    spec = preprocess_from_timm({**pretrained, "input_size": sizes}, _own(config, "preprocess"))
    shape = replace(base, **{"img_size": (spec.height, spec.width), **args})
    if shape.img_size != (spec.height, spec.width):
        raise ValueError(f"model_args img_size {shape.img_size} is not input_size ({spec.height}, {spec.width})")
    return architecture, shape, choose_labels(config, shape.num_classes), spec


def file_sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise PackageError(f"{path}: over {_MAX_CONFIG_BYTES} bytes, which no model's configuration needs")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return mapping(document, "the document")
    except (ValueError, TypeError, RecursionError, OSError) as error:
        raise PackageError(f"{path}: not a JSON object: {error}") from error


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


def _own(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """One of our objects under `vit_serve`; empty where there is none."""
    return mapping(mapping(config.get("vit_serve", {}), "vit_serve").get(key, {}), key)


def _pretrained_cfg(config: Mapping[str, Any]) -> Mapping[str, Any]:
    stated = mapping(config.get("pretrained_cfg", config), "pretrained_cfg")
    return {key: value for key, value in stated.items() if value is not None}


def _argument(name: str, value: Any) -> Any:
    """A value of `model_args` in the type that ViTConfig has it."""
    if name == "img_size":
        return height_and_width(value, name)
    if name in ("backbone_layers", "stem_widths"):
        return tuple(whole(each, name) for each in items(value, name))
    if name in ("qkv_bias", "mirror", "distilled", "no_embed_class"):
        return bool(value)
    if name in _CHOICES:
        return one_of(value, _CHOICES[name], name)
    if name == "mlp_ratio" or name.endswith(("_eps", "_rate")):
        return number(value, name)
    return whole(value, name)
