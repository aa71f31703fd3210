"""Owns the JSON files that transformers reads beside exported weights; does not read them."""

from typing import Any, Final

from app.checkpoints.own import ModelPackage
from app.domain import PreprocessSpec
from app.package.variants import ViTConfig

_RESAMPLE: Final = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}

_GELUS: Final = {"erf": "gelu", "tanh": "gelu_pytorch_tanh", "quick": "quick_gelu"}
# By what a class's name begins with, the longer first.
_MODEL_TYPES: Final = {
    **{"ViT": "vit", "DeiT": "deit", "CLIP": "clip", "Siglip": "siglip", "IJepa": "ijepa"},
    **{"Dinov2With": "dinov2_with_registers", "Dinov2": "dinov2"},
}
_PROBLEMS: Final = {"sigmoid": "multi_label_classification", "none": "regression"}


def dino_mlp_ratio(config: ViTConfig) -> int | None:
    """The `mlp_ratio` by which DINOv2's classes make the MLP's width, whole as transformers 5 wants it; None: none."""
    if config.mlp_layer == "mlp":
        return None if config.mlp_width % config.embed_dim else config.mlp_width // config.embed_dim
    hidden = config.mlp_width if config.mlp_layer == "swiglu" else config.mlp_width // 2
    ratios = range(1, 2 * hidden // config.embed_dim + 2)
    return next((r for r in ratios if (int(config.embed_dim * r * 2 / 3) + 7) // 8 * 8 == hidden), None)


def hf_config(package: ModelPackage, class_name: str) -> dict[str, Any]:
    """`config.json` for the transformers class whose names the weights have."""
    config = package.network.config
    height, width = config.img_size
    kind = next(name for start, name in _MODEL_TYPES.items() if class_name.startswith(start))
    shape: dict[str, Any] = {
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "hidden_act": _GELUS[config.gelu],
        "layer_norm_eps": config.norm_eps,
        "image_size": height if height == width else [height, width],
        "patch_size": config.patch_size,
        "num_channels": config.in_chans,
    }
    document: dict[str, Any] = {
        "architectures": [class_name],
        "model_type": kind,
        "id2label": {str(i): label for i, label in enumerate(package.labels)},
        "label2id": {label: i for i, label in enumerate(package.labels)},
    }
    if package.activation in _PROBLEMS:
        document["problem_type"] = _PROBLEMS[package.activation]
    if kind in ("clip", "siglip"):
        shape |= {"intermediate_size": config.mlp_width, "attention_dropout": 0.0}
        if kind == "siglip":
            shape["vision_use_head"] = False  # attention pooling, which the classifier does not read
        return document | {"vision_config": {"model_type": f"{kind}_vision_model", **shape}}
    shape |= {"qkv_bias": config.qkv_bias, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if kind.startswith("dinov2"):
        shape |= {"mlp_ratio": dino_mlp_ratio(config), "use_swiglu_ffn": config.mlp_layer != "mlp"}
        shape |= {"layerscale_value": 1.0 if config.init_values is None else config.init_values}
        return document | shape | ({"num_register_tokens": config.reg_tokens} if config.reg_tokens else {})
    document |= {**shape, "intermediate_size": config.mlp_width}
    if config.backbone_layers:
        rows, columns = config.grid_size
        document |= {
            "architectures": ["ViTHybridForImageClassification"],
            "model_type": "vit-hybrid",
            "backbone_config": {
                "model_type": "bit",
                "depths": list(config.backbone_layers),
                "hidden_sizes": [256 * 2**i for i in range(len(config.backbone_layers))],
                "layer_type": "bottleneck",
                "global_padding": "same",
                "embedding_dynamic_padding": True,
                "num_groups": 32,
                "out_features": [f"stage{len(config.backbone_layers)}"],
            },
            "backbone_featmap_shape": [1, 128 * 2 ** len(config.backbone_layers), rows, columns],
        }
    return document


def hf_preprocessor(spec: PreprocessSpec, class_name: str) -> dict[str, Any]:
    """`preprocessor_config.json`: ViT's processor squashes, DeiT's crops after it, Bit's takes the short side.

    As ViT's and Bit's do SigLIP's and CLIP's, which stand beside their own networks.
    """
    size = {"height": spec.height, "width": spec.width}
    resized: dict[str, int] = size
    if isinstance(spec.resize_px, tuple):
        resized = {"height": spec.resize_px[0], "width": spec.resize_px[1]}
    elif spec.crop_mode == "squash":
        resized = {"height": int(spec.height / spec.crop_pct), "width": int(spec.width / spec.crop_pct)}
    else:
        resized = {"shortest_edge": spec.resize_px or int(min(spec.height, spec.width) / spec.crop_pct)}
    if "shortest_edge" in resized:
        kind = "CLIP" if class_name.startswith("CLIP") else "Bit"
    elif resized == size:
        kind = "Siglip" if class_name.startswith("Siglip") else "ViT"
    else:
        kind = "DeiT"
    document: dict[str, Any] = {
        "image_processor_type": f"{kind}ImageProcessor",
        "do_resize": True,
        "size": resized,
        "resample": _RESAMPLE.get(spec.interpolation, _RESAMPLE["box"]),
        "do_center_crop": resized != size,
        "crop_size": size,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(spec.mean),
        "image_std": list(spec.std),
    }
    if kind == "Siglip":  # which knows no crop
        del document["do_center_crop"], document["crop_size"]
    if kind in ("CLIP", "Bit", "Siglip"):
        document["do_convert_rgb"] = spec.channels == 3
    return document
