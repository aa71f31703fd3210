"""Owns what our package's `config.json` says, in timm's hub layout; does not know tensors.

It travels to and from timm; what is ours stands under the key `vit_serve`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, get_args

from app.domain import PreprocessSpec
from app.errors import PackageError
from app.package.labels.choose import choose_labels
from app.package.labels.imagenet import LabelSet
from app.package.preprocessing import preprocess_from_timm, with_channels
from app.package.values import height_and_width, items, mapping, number, one_of, whole
from app.package.variants import Gelu, Mlp, Pool, Position, Standardization, ViTConfig, variant

CONFIG_NAME: Final = "config.json"
WEIGHTS_NAME: Final = "model.safetensors"
EMBEDDED: Final = Path(__file__).parent / "pretrained"  # the package that is served by default
_CHOICES: Final = {
    **{"position": get_args(Position), "gelu": get_args(Gelu), "standardization": get_args(Standardization)},
    **{"global_pool": get_args(Pool), "mlp_layer": get_args(Mlp)},
}
_FLAGS: Final = (
    *("qkv_bias", "mirror", "distilled", "no_embed_class", "class_token", "pool_include_prefix", "fc_norm"),
    *("final_norm", "pre_norm", "qk_norm", "proj_bias"),
)
_MAX_CONFIG_BYTES: Final = 32 * 2**20  # labels of 21,843 classes take 2


def parse_config(config: Mapping[str, Any]) -> tuple[str, ViTConfig, LabelSet, PreprocessSpec]:
    """timm's `config.json` → architecture, shape, labels, preprocessing.

    Values may stand at the top level too, as in older files; what is missing takes timm's defaults.
    Raises ValueError, TypeError or UnknownVariant with a message fit for a person.
    """
    architecture = config.get("architecture")
    if not isinstance(architecture, str):
        raise ValueError("the key 'architecture' is missing or no text")
    pretrained, model_args = pretrained_cfg(config), mapping(config.get("model_args", {}), "model_args")
    if unknown := sorted(set(model_args) - {f.name for f in fields(ViTConfig)}):
        raise ValueError(f"model_args {unknown} are not understood")
    args = {name: _argument(name, value) for name, value in model_args.items() if value is not None}
    num_classes = config.get("num_classes", pretrained.get("num_classes"))
    if num_classes is not None:
        args["num_classes"] = whole(num_classes, "num_classes")
    base = variant(architecture)
    sizes = pretrained.get("input_size", (base.in_chans, *args.get("img_size", base.img_size)))
    spec = preprocess_from_timm({**pretrained, "input_size": sizes}, own_object(config, "preprocess"))
    shape = replace(base, **{"img_size": (spec.height, spec.width), **args})
    if shape.img_size != (spec.height, spec.width):
        raise ValueError(f"model_args img_size {shape.img_size} is not input_size ({spec.height}, {spec.width})")
    if sizes[0] not in (3, shape.in_chans):  # timm leaves a variant's own 3 as it is
        raise ValueError(f"input_size has {sizes[0]} channels, the network {shape.in_chans}")
    return architecture, shape, choose_labels(config, shape.num_classes), with_channels(spec, shape.in_chans)


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


def own_object(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """One of our objects under `vit_serve`; empty where there is none."""
    return mapping(mapping(config.get("vit_serve", {}), "vit_serve").get(key, {}), key)


def pretrained_cfg(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What timm says of the weights, without what it leaves open; older files have it at the top level."""
    stated = mapping(config.get("pretrained_cfg", config), "pretrained_cfg")
    return {key: value for key, value in stated.items() if value is not None}


def _argument(name: str, value: Any) -> Any:
    """A value of `model_args` in the type that ViTConfig has it."""
    if name == "img_size":
        return height_and_width(value, name)
    if name in ("backbone_layers", "stem_widths"):
        return tuple(whole(each, name) for each in items(value, name))
    if name in _FLAGS:
        return bool(value)
    if name in _CHOICES:
        return one_of(value, _CHOICES[name], name)
    if name in ("mlp_ratio", "init_values") or name.endswith(("_eps", "_rate")):
        return number(value, name)
    return whole(value, name)
