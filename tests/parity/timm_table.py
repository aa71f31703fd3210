"""Owns the table of timm's Vision Transformers, `app/package/timm_vits.json`: run where timm is importable, writes it.

For each architecture whose network is timm's `VisionTransformer` the fields of our `ViTConfig` that are not its
defaults; or, where we have no such network, what timm builds in place of a part: "unlike".
"""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

# torchvision's compiled part is for another torch; of it, timm needs the import alone.
sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")

_GELUS = {"gelu": "erf", "gelu_tanh": "tanh", "quick_gelu": "quick"}
_SAME = ("patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "qkv_bias", "init_values", "class_token")
_SAME_TOO = ("no_embed_class", "reg_tokens", "pre_norm", "final_norm", "fc_norm", "pool_include_prefix", "qk_norm")
_UNLIKE = ("block_fn", "attn_layer", "embed_layer", "embed_norm_layer", "scale_attn_norm", "scale_mlp_norm")
_UNSAID = {"img_size", "num_classes", "in_chans", "weight_init", "dynamic_img_size", "norm_layer", "act_layer"}


class Stop(BaseException):
    """Ends a construction as soon as its arguments are known."""


def arguments() -> dict[str, dict[str, Any]]:
    """What timm hands its `VisionTransformer`, by architecture."""
    import timm
    import torch
    from timm.models import deit, vision_transformer

    found: dict[str, dict[str, Any]] = {}
    name = ""

    def stop(self: object, *_: object, **given: Any) -> None:
        found[name] = given
        raise Stop

    vision_transformer.VisionTransformer.__init__ = stop
    for name in timm.list_models(module=("vision_transformer", "vision_transformer_hybrid", "deit")):
        try:
            with torch.device("meta"):
                timm.create_model(name)
        except Stop:
            if "distilled" in name:
                found[name]["distilled"] = True
    assert deit
    return found


def row(given: dict[str, Any]) -> dict[str, Any]:
    """One architecture as ViTConfig's fields, or why it is unlike them."""
    if unlike := [f"{name} {_text(given[name])}" for name in _UNLIKE if given.get(name)]:
        return {"unlike": ", ".join(unlike)}
    fields = {name: given[name] for name in (*_SAME, *_SAME_TOO, "proj_bias", "global_pool") if name in given}
    size = given.get("img_size", 224)
    fields["img_size"] = [size, size] if isinstance(size, int) else list(size)
    if given.get("distilled"):
        fields["distilled"] = True
    norm, act, mlp = (given.get(name) for name in ("norm_layer", "act_layer", "mlp_layer"))
    if norm is not None:
        if "LayerNorm" not in str(norm):
            return {"unlike": f"norm_layer {_text(norm)}"}
        fields["norm_eps"] = norm.keywords["eps"]
    if mlp is None:
        if _text(act or "gelu") not in _GELUS:
            return {"unlike": f"act_layer {_text(act)}"}
        fields["gelu"] = _GELUS[_text(act or "gelu")]
    else:
        fields["mlp_layer"] = "swiglu_packed" if "GluMlp" in str(mlp) else "swiglu"
    if odd := sorted(set(given) - set(fields) - _UNSAID - {"mlp_layer", "distilled"}):
        return {"unlike": ", ".join(f"{name} {_text(given[name])}" for name in odd)}
    return {name: value for name, value in fields.items() if value != DEFAULTS[name]}


def _text(value: Any) -> str:
    if hasattr(value, "func"):
        value = value.func
    return str(getattr(value, "__name__", value))


if __name__ == "__main__":
    from dataclasses import asdict

    from app.package.variants import ViTConfig

    DEFAULTS = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(ViTConfig()).items()}
    lines = [f"{json.dumps(name)}: {json.dumps(row(given))}" for name, given in sorted(arguments().items())]
    Path(sys.argv[-1]).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
