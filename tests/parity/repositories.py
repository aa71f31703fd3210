# mypy: ignore-errors
"""Owns popular repositories for image classification, as their files are remembered; does not build them.

Nobody could look at a hub where this was written. Of each network the configuration is the published one, but that
`SMALLER` makes it shallower and narrower where nothing else hangs on that.
"""

from typing import Any

HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
BOTH = {"do_normalize": True, "do_resize": True}
_SQUARE = {"size": {"height": 224, "width": 224}}

# `preprocessor_config.json`: of the first generation, and as `save_pretrained` of a fine-tune writes it.
VIT_FIRST = {**BOTH, **HALF, "size": 224}
VIT_OLD = {**VIT_FIRST, "feature_extractor_type": "ViTFeatureExtractor", "resample": 2}
VIT_NEW = {
    **{**BOTH, **HALF, **_SQUARE, "do_rescale": True, "rescale_factor": 0.00392156862745098, "resample": 2},
    "image_processor_type": "ViTImageProcessor",
}
SWIN_OLD = {**BOTH, **IMAGENET, "feature_extractor_type": "ViTFeatureExtractor", "resample": 3, "size": 224}
SWIN_NEW = {**VIT_NEW, **IMAGENET, "resample": 3}
SWINV2_256 = {**SWIN_NEW, "size": {"height": 256, "width": 256}}
CONVNEXT = {
    **{**BOTH, **IMAGENET, "feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": 0.875, "resample": 3},
    "size": 224,
}
CONVNEXTV2 = {
    **{**BOTH, **IMAGENET, "image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875, "resample": 3},
    **{"do_rescale": True, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 224}},
}
BEIT = {
    **{**BOTH, **HALF, "feature_extractor_type": "BeitFeatureExtractor", "do_center_crop": False, "crop_size": 224},
    **{"resample": 2, "size": 224},
}
DEIT = {
    **{**BOTH, **IMAGENET, "feature_extractor_type": "DeiTFeatureExtractor", "do_center_crop": True, "crop_size": 224},
    **{"resample": 3, "size": 256},
}
DINOV2 = {
    **{**BOTH, **IMAGENET, "image_processor_type": "BitImageProcessor", "do_center_crop": True, "resample": 3},
    **{"do_convert_rgb": True, "do_rescale": True, "rescale_factor": 0.00392156862745098},
    **{"crop_size": {"height": 224, "width": 224}, "size": {"shortest_edge": 256}},
}
SIGLIP = {**VIT_NEW, "image_processor_type": "SiglipImageProcessor", "do_convert_rgb": None}
MOBILEVIT = {
    **{"feature_extractor_type": "MobileViTFeatureExtractor", "do_center_crop": True, "do_flip_channel_order": True},
    **{"do_resize": True, "resample": 2, "size": 288, "crop_size": 256},
}
MOBILENET = {
    **{**BOTH, **HALF, "feature_extractor_type": "MobileNetV2FeatureExtractor", "do_center_crop": True, "resample": 2},
    **{"do_rescale": True, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256}},
    "crop_size": {"height": 224, "width": 224},
}
EFFICIENTNET = {
    **{**BOTH, "image_processor_type": "EfficientNetImageProcessor", "do_center_crop": False, "include_top": True},
    **{"image_mean": [0.485, 0.456, 0.406], "image_std": [0.47853944, 0.4732864, 0.47434163], "resample": 0},
    **{"do_rescale": True, "rescale_factor": 0.00392156862745098, "rescale_offset": False, **_SQUARE},
}

_VIT = {"layer_norm_eps": 1e-12, "hidden_act": "gelu", "patch_size": 16, "image_size": 224, "qkv_bias": True}
_BEIT = {"layer_norm_eps": 1e-12, "patch_size": 16, "use_relative_position_bias": True, "use_mean_pooling": True}
_SWIN = {"window_size": 7, "image_size": 224, "patch_size": 4, "mlp_ratio": 4.0, "layer_norm_eps": 1e-5}
_SWINV2 = {**_SWIN, "window_size": 16, "image_size": 256, "pretrained_window_sizes": [0, 0, 0, 0]}
_RESNET = {"layer_type": "bottleneck", "downsample_in_first_stage": False, "hidden_act": "relu", "embedding_size": 64}
_CONVNEXT = {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "patch_size": 4, "num_stages": 4}
_DINOV2 = {"layer_norm_eps": 1e-6, "mlp_ratio": 4, "image_size": 518, "patch_size": 14, "layerscale_value": 1.0}
_SIGLIP = {"model_type": "siglip_vision_model", "image_size": 224, "patch_size": 16}

_NARROW = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192}
_FLAT = {"embed_dim": 24, "depths": [1, 2, 1, 1], "num_heads": [1, 2, 4, 8]}
# By class: what is smaller here than as published.
SMALLER: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("ViT", "Beit", "DeiT", "DeiTWithTeacher", "Siglip"), _NARROW),
    "Dinov2": {name: value for name, value in _NARROW.items() if name != "intermediate_size"},
    **dict.fromkeys(("Swin", "Swinv2"), _FLAT),
    "ResNet": {"hidden_sizes": [32, 48, 64, 96], "depths": [1, 2, 1, 1]},
    **dict.fromkeys(("ConvNext", "ConvNextV2"), {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 2, 1]}),
}
# Repository: the network's class, its configuration, classes, its preprocessor's, and by what it is run.
TRANSFORMERS: dict[str, tuple[str, dict[str, Any], int, dict[str, Any], str]] = {
    "google/vit-base-patch16-224": ("ViT", _VIT, 1000, VIT_FIRST, "ours"),
    "Falconsai/nsfw_image_detection": ("ViT", _VIT, 2, VIT_NEW, "ours"),
    "nateraw/vit-age-classifier": ("ViT", _VIT, 9, VIT_OLD, "ours"),
    "rizvandwiki/gender-classification": ("ViT", _VIT, 2, VIT_OLD, "ours"),
    "trpakov/vit-face-expression": ("ViT", _VIT, 7, VIT_OLD, "ours"),
    "dima806/facial_emotions_image_detection": ("ViT", _VIT, 7, VIT_NEW, "ours"),
    "AdamCodd/vit-base-nsfw-detector": (
        *("ViT", {**_VIT, "image_size": 384}, 2),
        *({**VIT_NEW, "size": {"height": 384, "width": 384}}, "ours"),
    ),
    "facebook/deit-base-patch16-224": ("ViT", _VIT, 1000, DEIT, "ours"),
    "facebook/deit-base-distilled-patch16-224": ("DeiTWithTeacher", _VIT, 1000, DEIT, "ours"),
    "facebook/dinov2-small-imagenet1k-1-layer": ("Dinov2", _DINOV2, 1000, DINOV2, "ours"),
    "prithivMLmods/Gender-Classifier-Mini": ("Siglip", _SIGLIP, 2, SIGLIP, "ours"),
    "microsoft/resnet-50": ("ResNet", _RESNET, 1000, CONVNEXT, "transformers"),
    "microsoft/swin-tiny-patch4-window7-224": ("Swin", _SWIN, 1000, SWIN_OLD, "transformers"),
    "umm-maybe/AI-image-detector": ("Swin", _SWIN, 2, SWIN_OLD, "transformers"),
    "Organika/sdxl-detector": ("Swin", _SWIN, 2, SWIN_NEW, "transformers"),
    "microsoft/swinv2-tiny-patch4-window16-256": ("Swinv2", _SWINV2, 1000, SWINV2_256, "transformers"),
    "haywoodsloan/ai-image-detector-deploy": ("Swinv2", _SWINV2, 2, SWINV2_256, "transformers"),
    "facebook/convnext-tiny-224": ("ConvNext", _CONVNEXT, 1000, CONVNEXT, "transformers"),
    "facebook/convnextv2-tiny-1k-224": ("ConvNextV2", _CONVNEXT, 1000, CONVNEXTV2, "transformers"),
    "microsoft/beit-base-patch16-224": ("Beit", {**_BEIT, "image_size": 224}, 1000, BEIT, "transformers"),
    "cafeai/cafe_aesthetic": (
        *("Beit", {**_BEIT, "image_size": 384}, 2, {**BEIT, "size": 384, "crop_size": 384}, "transformers"),
    ),
    "microsoft/dit-base-finetuned-rvlcdip": (
        *("Beit", {**_BEIT, "image_size": 224, "use_relative_position_bias": False}, 16, BEIT, "transformers"),
    ),
    "apple/mobilevit-small": ("MobileViT", {"image_size": 256}, 1000, MOBILEVIT, "transformers"),
    "google/mobilenet_v2_1.0_224": (
        *("MobileNetV2", {"image_size": 224, "hidden_act": "relu6", "tf_padding": True}, 1001),
        *(MOBILENET, "transformers"),
    ),
    "google/efficientnet-b0": (
        *("EfficientNet", {"image_size": 224, "width_coefficient": 1.0, "depth_coefficient": 1.0, "hidden_dim": 1280}),
        *(1000, EFFICIENTNET, "transformers"),
    ),
    "google/mobilenet_v1_1.0_224": (
        *("MobileNetV1", {"image_size": 224, "hidden_act": "relu6", "tf_padding": True}, 1001),
        *({**MOBILENET, "feature_extractor_type": "MobileNetV1FeatureExtractor"}, "transformers"),
    ),
}
# Of timm: arguments that make it smaller, classes, and by what it is run.
TIMM: dict[str, tuple[dict[str, Any], int, str]] = {
    "timm/mobilenetv3_small_100.lamb_in1k": ({}, 1000, "timm"),
    "timm/resnet50.a1_in1k": ({"layers": (1, 1, 1, 1)}, 1000, "timm"),
    "timm/resnet18.a1_in1k": ({}, 1000, "timm"),
    "timm/efficientnet_b0.ra_in1k": ({}, 1000, "timm"),
    "timm/convnext_tiny.in12k_ft_in1k": ({"depths": (1, 1, 1, 1), "dims": (24, 32, 48, 64)}, 1000, "timm"),
    "timm/eva02_base_patch14_448.mim_in22k_ft_in22k_in1k": (
        *({"depth": 1, "embed_dim": 96, "num_heads": 3}, 1000, "timm"),
    ),
    "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k": ({"depth": 2, "embed_dim": 192}, 1000, "ours"),
    "Marqo/nsfw-image-detection-384": ({"depth": 2}, 2, "ours"),
    "Freepik/nsfw_image_detector": ({"depth": 1, "embed_dim": 96, "num_heads": 3}, 4, "timm"),
}
# Where the repository's name is not the architecture's; the last is saved by transformers around timm.
ARCHITECTURES = {
    "Marqo/nsfw-image-detection-384": "vit_tiny_patch16_384.augreg_in21k_ft_in1k",
    "Freepik/nsfw_image_detector": "eva02_base_patch14_448.mim_in22k_ft_in22k_in1k",
}
WRAPPED = ("Freepik/nsfw_image_detector",)
# What is refused, and the reason's own words.
REFUSED = {
    "timm/vit_base_patch16_clip_224.openai": "has no head to classify with",
    "nvidia/MambaVision-T-1K": "is code in the repository (auto_map), which is never run",
    "Xenova/vit-base-patch16-224": "no weights",
}
