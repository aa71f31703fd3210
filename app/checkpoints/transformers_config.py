"""Owns the JSON files that transformers reads beside exported weights; does not read them."""

from typing import Any, Final

from app.checkpoints.own import ModelPackage
from app.domain import PreprocessSpec

_RESAMPLE: Final = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}

_GELUS: Final = {"erf": "gelu", "tanh": "gelu_pytorch_tanh", "quick": "quick_gelu"}
_PROBLEMS: Final = {"sigmoid": "multi_label_classification", "none": "regression"}


def hf_config(package: ModelPackage, class_name: str) -> dict[str, Any]:
    """`config.json` for the transformers class whose names the weights have."""
    config = package.network.config
    height, width = config.img_size
    kind = "deit" if config.distilled else "vit"
    document: dict[str, Any] = {
        "architectures": [class_name],
        "model_type": kind,
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": int(config.embed_dim * config.mlp_ratio),
        "hidden_act": _GELUS[config.gelu],
        "layer_norm_eps": config.norm_eps,
        "image_size": height if height == width else [height, width],
        "patch_size": config.patch_size,
        "num_channels": config.in_chans,
        "qkv_bias": config.qkv_bias,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "id2label": {str(i): label for i, label in enumerate(package.labels)},
        "label2id": {label: i for i, label in enumerate(package.labels)},
    }
    if package.activation in _PROBLEMS:
        document["problem_type"] = _PROBLEMS[package.activation]
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


def hf_preprocessor(spec: PreprocessSpec) -> dict[str, Any]:
    """`preprocessor_config.json`: ViT's processor squashes, DeiT's crops after it, Bit's takes the short side."""
    size = {"height": spec.height, "width": spec.width}
    resized: dict[str, int] = size
    if isinstance(spec.resize_px, tuple):
        resized = {"height": spec.resize_px[0], "width": spec.resize_px[1]}
    elif spec.crop_mode == "squash":
        resized = {"height": int(spec.height / spec.crop_pct), "width": int(spec.width / spec.crop_pct)}
    else:
        resized = {"shortest_edge": spec.resize_px or int(min(spec.height, spec.width) / spec.crop_pct)}
    kind = "Bit" if "shortest_edge" in resized else "ViT" if resized == size else "DeiT"
    return {
        "image_processor_type": f"{kind}ImageProcessor",
        "do_resize": True,
        "size": resized,
        "resample": _RESAMPLE.get(spec.interpolation, _RESAMPLE["box"]),
        "do_center_crop": kind != "ViT",
        "crop_size": size,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(spec.mean),
        "image_std": list(spec.std),
    }
