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

from app.domain import CropMode, Interpolation, PreprocessSpec
from app.errors import PackageError, UnknownVariant
from app.model.variants import Gelu, Position, Standardization, ViTConfig, variant
from app.model.vit import VisionTransformer

CONFIG_NAME: Final = "config.json"
WEIGHTS_NAME: Final = "model.safetensors"
# Written for every package, as timm does; the other fields where they are not the variant's own.
_ALWAYS: Final = ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "qkv_bias")
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
        own = _mapping(config.get("vit_serve", {}), "vit_serve")
        calibration = _mapping(own.get("calibration", {}), "calibration")
        temperature = _number(calibration.get("temperature", 1.0), "temperature")
        if temperature <= 0:
            raise ValueError(f"the calibration temperature is {temperature}; it must be positive")
        threshold = calibration.get("threshold")
        if threshold is not None and not 0 <= _number(threshold, "threshold") <= 1:
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
        labels=labels,
        preprocess=spec,
        sha256=sha256,
        temperature=temperature,
        threshold=threshold,
    )


def save_package(
    directory: Path,
    package: ModelPackage,
    dtype: torch.dtype = torch.float32,
    notes: Mapping[str, object] | None = None,
) -> str:
    """Writes a package and returns the SHA-256 of its weights; `notes` go beside ours under `vit_serve`."""
    directory.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().to(dtype).contiguous() for name, tensor in package.network.state_dict().items()}
    save_file(state, directory / WEIGHTS_NAME, metadata={"format": "pt"})
    (directory / WEIGHTS_NAME).chmod(0o644)  # safetensors makes it its owner's alone, and a container is somebody else
    sha256 = file_sha256(directory / WEIGHTS_NAME)
    calibration = {"temperature": package.temperature}
    if package.threshold is not None:
        calibration["threshold"] = package.threshold
    own = {"sha256": sha256, "calibration": calibration, **(notes or {})}
    text = json.dumps({**document(package), "vit_serve": own}, indent=1, ensure_ascii=False) + "\n"
    (directory / CONFIG_NAME).write_text(text, encoding="utf-8")
    return sha256


def document(package: ModelPackage) -> dict[str, Any]:
    """timm's `config.json`, to which a package adds `vit_serve`."""
    config, spec = package.network.config, package.preprocess
    base, _, tag = package.name.partition(".")
    return {
        "architecture": package.architecture,
        "num_classes": config.num_classes,
        "num_features": config.embed_dim,
        "global_pool": "token",
        "model_args": _model_args(config, variant(package.architecture)),
        "label_names": list(package.labels),
        "pretrained_cfg": {
            "tag": tag or base,
            "input_size": [config.in_chans, spec.height, spec.width],
            "fixed_input_size": True,
            "interpolation": spec.interpolation,
            "crop_pct": spec.crop_pct,
            "crop_mode": spec.crop_mode,
            "mean": list(spec.mean),
            "std": list(spec.std),
            "num_classes": config.num_classes,
            "first_conv": _first_conv(config),
            "classifier": ["head", "head_dist"] if config.distilled else "head",
        },
    }


def parse_config(config: Mapping[str, Any]) -> tuple[str, ViTConfig, tuple[str, ...], PreprocessSpec]:
    """timm's `config.json` → architecture, shape, labels, preprocessing.

    Values may stand at the top level too, as in older files; what is missing takes timm's defaults.
    Raises ValueError, TypeError or UnknownVariant with a message fit for a person.
    """
    architecture = config.get("architecture")
    if not isinstance(architecture, str):
        raise ValueError("the key 'architecture' is missing or no text")
    pretrained, model_args = _pretrained_cfg(config), _mapping(config.get("model_args", {}), "model_args")
    if unknown := sorted(set(model_args) - {f.name for f in fields(ViTConfig)}):
        raise ValueError(f"model_args {unknown} are not understood")
    args = {name: _argument(name, value) for name, value in model_args.items() if value is not None}
    num_classes = config.get("num_classes", pretrained.get("num_classes"))
    if num_classes is not None:
        args["num_classes"] = _whole(num_classes, "num_classes")
    base = variant(architecture)
    sizes = pretrained.get("input_size", (base.in_chans, *args.get("img_size", base.img_size)))
    channels, height, width = (_whole(size, "input_size") for size in _items(sizes, "input_size", 3))
    shape = replace(base, **{"img_size": (height, width), "in_chans": channels, **args})
    if channels != 3:
        raise ValueError(f"input_size has {channels} channels; only RGB is served")
    if shape.img_size != (height, width):
        raise ValueError(f"model_args img_size {shape.img_size} is not input_size ({height}, {width})")
    spec = PreprocessSpec(
        height=height,
        width=width,
        interpolation=_one_of(pretrained.get("interpolation", "bicubic"), get_args(Interpolation), "interpolation"),
        crop_pct=_fraction(pretrained.get("crop_pct", 0.875)),
        crop_mode=_one_of(pretrained.get("crop_mode", "center"), get_args(CropMode), "crop_mode"),
        mean=_triple(pretrained.get("mean", PreprocessSpec().mean), "mean"),
        std=_triple(pretrained.get("std", PreprocessSpec().std), "std"),
    )
    if min(spec.std) < 1e-6:
        raise ValueError(f"std {spec.std} holds a value that nothing can be divided by")
    names = config.get("label_names", pretrained.get("label_names", config.get("labels")))
    if names is None:
        return architecture, shape, tuple(f"class_{i}" for i in range(shape.num_classes)), spec
    return architecture, shape, tuple(map(str, _items(names, "label_names", shape.num_classes))), spec


def file_sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise PackageError(f"{path}: over {_MAX_CONFIG_BYTES} bytes, which no model's configuration needs")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return _mapping(document, "the document")
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
    """The arguments that timm's constructors take, and of ours those that differ from the variant's."""
    usual = asdict(base)
    return {
        name: value
        for name, value in asdict(config).items()
        if name in _ALWAYS or (value != usual[name] and name not in _ELSEWHERE and not name.endswith("_rate"))
    }


def _first_conv(config: ViTConfig) -> str:
    if config.backbone_layers is None:
        return "patch_embed.proj"
    return "patch_embed.backbone.stem.conv" if config.backbone_layers else "patch_embed.backbone.conv"


def _pretrained_cfg(config: Mapping[str, Any]) -> Mapping[str, Any]:
    stated = _mapping(config.get("pretrained_cfg", config), "pretrained_cfg")
    return {key: value for key, value in stated.items() if value is not None}


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is {type(value).__name__}, not an object")
    return value


def _items(value: Any, name: str, count: int | None = None) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} is {type(value).__name__}, not a list")
    if count is not None and len(value) != count:
        raise ValueError(f"there are {len(value)} {name} values where {count} are needed")
    return list(value)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e6:
        raise ValueError(f"{name} is {value!r}, which is no sensible number")
    return float(value)


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**20:
        raise ValueError(f"{name} is {value!r}, which is no sensible whole number")
    return value


def _argument(name: str, value: Any) -> Any:
    """A value of `model_args` in the type that ViTConfig has it."""
    if name == "img_size":
        pair = _items(value, name, 2) if isinstance(value, list) else [value, value]
        return tuple(_whole(size, name) for size in pair)
    if name in ("backbone_layers", "stem_widths"):
        return tuple(_whole(number, name) for number in _items(value, name))
    if name in ("qkv_bias", "distilled", "no_embed_class"):
        return bool(value)
    if name in _CHOICES:
        return _one_of(value, _CHOICES[name], name)
    if name == "mlp_ratio" or name.endswith(("_eps", "_rate")):
        return _number(value, name)
    return _whole(value, name)


def _one_of(value: Any, choices: tuple[str, ...], name: str) -> Any:
    if value not in choices:
        raise ValueError(f"{name} {value!r} is none of {', '.join(choices)}")
    return value


def _fraction(value: Any) -> float:
    if not 0.01 <= _number(value, "crop_pct") <= 1:
        raise ValueError(f"crop_pct {value} is not in 0.01 … 1")
    return float(value)


def _triple(values: Any, name: str) -> tuple[float, float, float]:
    red, green, blue = (_number(value, name) for value in _items(values, name, 3))
    return red, green, blue
