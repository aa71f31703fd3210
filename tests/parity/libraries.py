# mypy: ignore-errors
"""Owns networks of timm and transformers that ours cannot be; run as a script, as `reference.py` is.

`libraries.py make LIBRARY FOLDER` saves each as the library does, every number drawn anew, with pixels and the logits
that the library gives for them.
"""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

# torchvision's compiled part is for another torch; of it, timm needs the import alone.
sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")

_NARROW = {"embed_dim": 24, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8)}
# As published but for the number of layers and the images, which are small, and where that cost much the width.
TIMM: dict[str, dict[str, Any]] = {
    "swin_tiny_patch4_window7_224": {"img_size": 112, **_NARROW},
    "swinv2_tiny_window8_256": {"img_size": 128, **_NARROW, "window_size": 4},
    "convnext_atto": {},
    "convnextv2_atto": {"depths": (1, 1, 2, 1)},
    "efficientnet_b0": {},
    "tf_efficientnet_b0": {},
    "resnet18": {},
    "resnetv2_50": {"layers": (1, 1, 1, 1)},
    "regnety_002": {},
    "mobilenetv3_small_050": {},
    "mobilenetv4_conv_small": {},
    "mobilevit_xxs": {},
    "beit_base_patch16_224": {"img_size": 64, "depth": 2},
    "eva02_tiny_patch14_224": {"img_size": 56, "depth": 3},
    "vit_small_patch16_dinov3": {"img_size": 64, "depth": 2},
    "vit_small_patch16_rope_ape_224": {"img_size": 64, "depth": 2},
    "cait_xxs24_224": {"img_size": 64, "depth": 2},
    "levit_128s": {"depth": (1, 1, 1)},
    "xcit_nano_12_p16_224": {"img_size": 64, "depth": 2},
    "maxvit_pico_rw_256": {"img_size": 64},
    "mixer_s32_224": {"img_size": 64},
    "pvt_v2_b0": {"depths": (1, 1, 1, 1)},
    "tiny_vit_5m_224": {"depths": (1, 1, 2, 1)},
    "hiera_tiny_224": {"img_size": 64},
    "densenet121": {"block_config": (2, 2, 2, 2)},
}
SIZES = dict.fromkeys(
    ("convnext", "efficientnet", "tf_efficientnet", "resnet", "regnety", "mobile", "densenet", "pvt", "tiny_vit"), 64
)

_SEVEN: dict[str, Any] = {"num_labels": 7}
_VIT = {**_SEVEN, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
_SWIN = {**_SEVEN, "image_size": 64, "embed_dim": 24, "depths": [1, 2], "num_heads": [2, 4], "window_size": 4}
_STAGES = {**_SEVEN, "hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 2, 1]}
_STEM = {**_STAGES, "embedding_size": 16}
_SQUARE = {"size": {"height": 64, "width": 64}, "resample": 2}
_CROP = {"size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}, "resample": 2}
_CONVNEXT = {"size": {"shortest_edge": 64}, "crop_pct": 0.875, "resample": 3}
_BEIT = {**_SQUARE, "do_center_crop": False}
_LEVIT = {"hidden_sizes": [32, 48, 64], "num_attention_heads": [2, 3, 4], "depths": [1, 1, 1], "image_size": 64}
_MOBILEVIT = {"neck_hidden_sizes": [8, 16, 24, 32, 40, 48, 64], "hidden_sizes": [24, 32, 40], "image_size": 64}
_SEGFORMER = {"hidden_sizes": [16, 32, 40, 64], "num_attention_heads": [1, 2, 5, 8], "depths": [1, 1, 1, 1]}
_FOCALNET = {"embed_dim": 24, "hidden_sizes": [24, 48, 96, 192], "depths": [1, 1, 2, 1], "image_size": 64}
_EFFICIENTNET = {"image_size": 64, "width_coefficient": 0.5, "depth_coefficient": 0.3, "hidden_dim": 640}
# The network's class, its configuration, its processor's class and what is stated of that.
TRANSFORMERS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "swin": ("Swin", _SWIN, "ViT", _SQUARE),
    "swinv2": ("Swinv2", _SWIN, "ViT", _SQUARE),
    "convnext": ("ConvNext", _STAGES, "ConvNext", _CONVNEXT),
    "convnextv2": ("ConvNextV2", _STAGES, "ConvNext", _CONVNEXT),
    "resnet": ("ResNet", _STEM, "ConvNext", _CONVNEXT),
    "regnet": ("RegNet", {**_STEM, "groups_width": 8}, "ConvNext", _CONVNEXT),
    "beit": ("Beit", {**_VIT, "image_size": 64, "use_relative_position_bias": True}, "Beit", _BEIT),
    "data2vec": (
        "Data2VecVision",
        {**_VIT, "image_size": 64, "use_shared_relative_position_bias": True},
        "Beit",
        _BEIT,
    ),
    "efficientnet": ("EfficientNet", {**_SEVEN, **_EFFICIENTNET}, "EfficientNet", _SQUARE),
    "levit": ("Levit", {**_SEVEN, **_LEVIT}, "Levit", _CROP),
    "mobilevit": ("MobileViT", {**_SEVEN, **_MOBILEVIT}, "MobileViT", _CROP),
    "mobilenet_v1": ("MobileNetV1", {**_SEVEN, "depth_multiplier": 0.25}, "MobileNetV1", _CROP),
    "mobilenet_v2": ("MobileNetV2", {**_SEVEN, "depth_multiplier": 0.35}, "MobileNetV2", _CROP),
    "poolformer": ("PoolFormer", _STAGES, "PoolFormer", {**_CROP, "crop_pct": 0.9}),
    # transformers 4 itself cannot read back another number of classes than 1,000
    "pvt": ("Pvt", {"image_size": 64, "depths": [1, 1, 1, 1]}, "Pvt", _SQUARE),
    "focalnet": ("FocalNet", {**_SEVEN, **_FOCALNET}, "Bit", _CROP),
    "hiera": ("Hiera", {**_SEVEN, "image_size": [64, 64], "depths": [1, 1, 2, 1], "embed_dim": 24}, "Bit", _CROP),
    "segformer": ("Segformer", {**_SEVEN, **_SEGFORMER}, "Segformer", _SQUARE),
    "regression": ("ConvNext", {**_STAGES, "num_labels": 1, "problem_type": "regression"}, "ConvNext", _CONVNEXT),
    "one_label": ("ConvNext", {**_STAGES, "num_labels": 1}, "ConvNext", _CONVNEXT),
    "multi_label": (
        *("ConvNext", {**_STAGES, "problem_type": "multi_label_classification"}),
        *("ConvNext", _CONVNEXT),
    ),
}


def drawn(network: Any) -> Any:
    """The network in evaluation, numbers such that what passes through it keeps its size."""
    torch.manual_seed(0)
    for name, tensor in network.eval().requires_grad_(False).named_parameters():
        if tensor.ndim < 2:
            tensor.normal_(mean=1.0 if name.endswith("weight") or "gamma" in name else 0.0, std=0.1)
        else:
            tensor.normal_(std=(1 / max(tensor[0].numel(), 1)) ** 0.5)
    for name, tensor in network.named_buffers():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            tensor.normal_(std=0.1)
    return network


def expect(folder: Path, network: Any, config: dict[str, Any]) -> None:
    """Pixels of smooth pictures at the size that the library prepares them at, and the logits it gives for them."""
    height, width = config["size"]
    torch.manual_seed(1)
    coarse = torch.randn(3, 3, 6, 6) * 64 + 128
    pixels = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").clamp(0, 255).round()
    mean, std = (torch.tensor(config[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        out = network((pixels / 255 - mean) / std)
    np.save(folder / "pixels.npy", pixels.permute(0, 2, 3, 1).to(torch.uint8).numpy())
    np.save(folder / "expected.npy", getattr(out, "logits", out).numpy())


def make_timm(out: Path) -> None:
    import timm
    from timm.models import save_for_hf

    for name, arguments in TIMM.items():
        size = arguments.get("img_size") or next((px for start, px in SIZES.items() if name.startswith(start)), None)
        network = drawn(timm.create_model(name, num_classes=7, **arguments))
        if size:
            network.pretrained_cfg["input_size"] = (3, size, size)
        folder = out / name
        saved = {**network.pretrained_cfg, "num_classes": 7}
        network.pretrained_cfg = saved
        save_for_hf(network, str(folder), model_args=arguments, safe_serialization=True)
        config = timm.data.resolve_model_data_config(network)
        expect(folder, network, {**config, "size": config["input_size"][1:]})


def make_transformers(out: Path) -> None:
    import transformers as t

    for name, (start, fields, kind, stated) in TRANSFORMERS.items():
        network = getattr(t, f"{start}ForImageClassification")(getattr(t, f"{start}Config")(**fields))
        folder = out / name
        drawn(network).save_pretrained(folder)
        document = {"image_processor_type": f"{kind}ImageProcessor", **stated}
        document |= {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}
        (folder / "preprocessor_config.json").write_text(json.dumps(document))
        mean, std = document["image_mean"], document["image_std"]
        if kind == "EfficientNet":
            std = [each * each for each in std]
        taken = network
        if kind == "MobileViT":  # does not normalise, and gives blue first
            mean, std = [0.0] * 3, [1.0] * 3
            taken = lambda x, n=network: n(x.flip(1))  # noqa: E731
        expect(folder, taken, {"size": (64, 64), "mean": mean, "std": std})


if __name__ == "__main__":
    _, command, library, place = sys.argv
    assert command == "make"
    {"timm": make_timm}.get(library, make_transformers)(Path(place))
