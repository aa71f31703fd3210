# mypy: ignore-errors
"""Owns what the other libraries themselves make of images: run as a script, in a process where they are importable.

`processors.py make LIBRARY FOLDER` prepares each image of the folder in each of the library's cases, and writes
`CASE/IMAGE.npy`, float32 (3, height, width), with the library's own description of the case in `CASE/case.json`.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image, ImageOps

# torchvision's compiled part is for another torch; its transforms of Pillow images need the import alone.
sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")

Prepare = Callable[[Image.Image], Any]
HALF = [0.5, 0.5, 0.5]
LEGACY = {"do_normalize": True, "do_resize": True, "image_mean": HALF, "image_std": HALF, "size": 224}
# `preprocessor_config.json` of both generations, and some made up to show the arithmetic.
HF: dict[str, dict[str, Any]] = {
    "vit": {},
    "vit_legacy": {**LEGACY, "feature_extractor_type": "ViTFeatureExtractor"},
    "vit_384": {**LEGACY, "size": {"height": 384, "width": 384}, "resample": 2, "rescale_factor": 0.00392156862745098},
    "vit_oblong_bicubic": {"size": {"height": 96, "width": 160}, "resample": 3},
    "vit_box": {"size": {"height": 64, "width": 64}, "resample": 4},
    "vit_hamming": {"size": {"height": 64, "width": 64}, "resample": 5},
    "vit_lanczos": {"size": {"height": 64, "width": 64}, "resample": 1},
    "vit_nearest": {"size": {"height": 64, "width": 64}, "resample": 0},
    "vit_rescale": {"rescale_factor": 1 / 127.5, "image_mean": [1.0, 1.0, 1.0], "image_std": [1.0, 1.0, 1.0]},
    "vit_no_normalize": {"do_normalize": False},
    "deit": {"image_processor_type": "DeiTImageProcessor"},
    "deit_384": {
        "feature_extractor_type": "DeiTFeatureExtractor",
        **{"do_center_crop": True, "crop_size": 384, "size": 438, "resample": 3, "do_normalize": True},
        **{"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
    },
    "deit_224": {"feature_extractor_type": "DeiTFeatureExtractor", "size": 224, "crop_size": 224},
    "deit_odd": {"image_processor_type": "DeiTImageProcessor", "size": 101, "crop_size": {"height": 64, "width": 98}},
    "clip": {"image_processor_type": "CLIPImageProcessor"},
    "clip_legacy": {"feature_extractor_type": "CLIPFeatureExtractor", "size": 336, "crop_size": 336, "resample": 3},
    "siglip": {"image_processor_type": "SiglipImageProcessor"},
    "siglip_384": {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": 384, "width": 384},
        "resample": 2,
    },
    "bit_dinov2": {
        "image_processor_type": "BitImageProcessor",
        **{"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "resample": 3},
        **{"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
    },
    "deit_padded": {"image_processor_type": "DeiTImageProcessor", "size": 100, "crop_size": 131},
}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
# Of networks that are served by transformers: as published, in both generations, and some to show the arithmetic.
OTHERS: dict[str, dict[str, Any]] = {
    "Beit_224": {**LEGACY, "feature_extractor_type": "BeitFeatureExtractor", "do_center_crop": False, "resample": 2},
    "Beit_crop": {"size": {"height": 256, "width": 256}, "do_center_crop": True, "crop_size": 224, "resample": 3},
    "ConvNext_224": {"size": 224, "crop_pct": 0.875, "resample": 3, **IMAGENET},
    "ConvNext_384": {"size": {"shortest_edge": 384}, "crop_pct": 1.0, "resample": 3, **IMAGENET},
    "ConvNext_no_crop_pct": {"size": {"shortest_edge": 200}, "resample": 2, **IMAGENET},
    "EfficientNet_b0": {
        **{"size": {"height": 224, "width": 224}, "do_center_crop": False, "resample": 0, "include_top": True},
        **{"image_mean": [0.485, 0.456, 0.406], "image_std": [0.47853944, 0.4732864, 0.47434163]},
    },
    "EfficientNet_offset": {"rescale_factor": 1 / 127.5, "rescale_offset": True, "resample": 3},
    "EfficientNet_no_top": {"include_top": False, "resample": 2, "do_center_crop": True, "crop_size": 289},
    "Levit": {},
    "Levit_288": {"size": {"shortest_edge": 288}, "crop_size": {"height": 288, "width": 288}},
    "Levit_square": {"size": {"height": 230, "width": 240}},
    "MobileViT_256": {"size": {"shortest_edge": 288}, "crop_size": {"height": 256, "width": 256}, "resample": 2},
    "MobileViT_rgb": {"size": 224, "crop_size": 200, "resample": 3, "do_flip_channel_order": False},
    "MobileNetV1": {},
    "MobileNetV2_160": {"size": {"shortest_edge": 192}, "crop_size": {"height": 160, "width": 160}},
    "PoolFormer": {"size": 224, "crop_size": 224, "crop_pct": 0.9, "resample": 3},
    "PoolFormer_95": {"size": {"height": 224, "width": 224}, "crop_pct": 0.95},
    "Pvt": {"size": {"height": 224, "width": 224}, "resample": 2},
    "Segformer": {"size": {"height": 512, "width": 512}, "do_reduce_labels": False},
}
HYBRID: dict[str, dict[str, Any]] = {
    "hybrid": {"image_processor_type": "ViTHybridImageProcessor", "image_mean": HALF, "image_std": HALF},
    "hybrid_384": {
        "image_processor_type": "ViTHybridImageProcessor",
        **{"size": {"shortest_edge": 384}, "crop_size": {"height": 384, "width": 384}, "resample": 3},
    },
    "hybrid_odd": {"image_processor_type": "ViTHybridImageProcessor", "size": 101, "crop_size": 98},
    "hybrid_padded": {"image_processor_type": "ViTHybridImageProcessor", "size": 60, "crop_size": 91},
}
TIMM = (
    *("vit_base_patch16_224.augreg2_in21k_ft_in1k", "vit_base_patch16_384.augreg_in21k_ft_in1k"),
    *(
        "vit_base_patch16_224.orig_in21k_ft_in1k",
        "vit_base_patch16_224.sam_in1k",
        "vit_base_r50_s16_384.orig_in21k_ft_in1k",
    ),
    *("swin_tiny_patch4_window7_224.ms_in1k", "convnext_tiny.fb_in22k_ft_in1k_384", "efficientnet_b0.ra_in1k"),
    *("resnet50.a1_in1k", "levit_128s.fb_dist_in1k", "mobilenetv3_large_100.ra_in1k", "beit_base_patch16_384"),
    *(
        "vit_base_patch16_224_miil.in21k_ft_in1k",
        "deit_base_patch16_224.fb_in1k",
        "deit_base_distilled_patch16_384.fb_in1k",
    ),
)
# Not those of timm's own models: the other crop modes, and targets that are no square.
TIMM_OWN: dict[str, dict[str, Any]] = {
    "squash": {"input_size": (3, 224, 224), "crop_mode": "squash", "crop_pct": 0.875, "interpolation": "bilinear"},
    "border": {"input_size": (3, 224, 224), "crop_mode": "border", "crop_pct": 1.0, "interpolation": "bicubic"},
    "oblong": {"input_size": (3, 128, 192), "crop_mode": "center", "crop_pct": 0.9, "interpolation": "bicubic"},
}


def transformers_cases() -> dict[str, tuple[dict[str, Any], Prepare]]:
    import transformers

    if five := int(transformers.__version__.partition(".")[0]) >= 5:
        from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil as Bit
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil as CLIP
        from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil as DeiT
        from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil as Siglip
        from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil as ViT

        classes = {"vit": ViT, "deit": DeiT, "clip": CLIP, "siglip": Siglip, "bit": Bit}
    else:
        from transformers.models.deprecated.vit_hybrid.image_processing_vit_hybrid import ViTHybridImageProcessor

        classes = {"vit": transformers.ViTImageProcessor, "deit": transformers.DeiTImageProcessor}
        classes |= {"clip": transformers.CLIPImageProcessor, "siglip": transformers.SiglipImageProcessor}
        classes["bit"] = transformers.BitImageProcessor
        classes["hybrid"] = ViTHybridImageProcessor
    cases = {}
    for name, stated in OTHERS.items():
        if five and name == "Segformer":  # which there wants torchvision even where Pillow computes
            continue
        document = {"image_processor_type": f"{name.partition('_')[0]}ImageProcessor", **stated}
        cases[name] = document, other(document)
    for name, document in (HF if five else {**HF, **HYBRID}).items():
        processor = classes[name.partition("_")[0]].from_dict(document)
        cases[name] = (document, lambda image, p=processor: p(image, return_tensors="np")["pixel_values"][0])
    return cases


def other(document: dict[str, Any]) -> Prepare:
    """What a processor that is no ViT's makes of an image, its channels in our order."""
    import transformers

    # Of transformers 5 the one that computes as our pixels are made; its other backend resizes tensors.
    suffix = "" if transformers.__version__.startswith("4.") else "Pil"
    kind = getattr(transformers, document["image_processor_type"] + suffix)
    processor = kind.from_dict(document)
    flip = -1 if getattr(processor, "do_flip_channel_order", False) else 1
    return lambda image: processor(image, return_tensors="np")["pixel_values"][0][::flip]


def torchvision_cases() -> dict[str, tuple[dict[str, Any], Prepare]]:
    from torchvision import models, transforms

    cases: dict[str, tuple[dict[str, Any], Prepare]] = {}
    for model in models.list_models(include="vit_*"):
        for weights in models.get_model_weights(model):
            preset = weights.transforms()
            document = {"model": model, "url": weights.url, "size": preset.crop_size[0]}
            cases[f"{model}-{weights.name}"] = (document, lambda image, t=preset: t(image).numpy())
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for name, size, kernel, normalise in (
        ("deit", 224, 3, (mean, std)),  # as facebookresearch/deit's datasets.py composes them
        ("deit-384", 384, 3, (mean, std)),
        ("tutorial", 224, 2, (HALF, HALF)),
    ):
        composed = transforms.Compose(
            [
                transforms.Resize(int(size / 0.875), interpolation=transforms.InterpolationMode(_KERNELS[kernel])),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
                transforms.Normalize(*normalise),
            ]
        )
        cases[name] = ({"size": size}, lambda image, t=composed: t(image).numpy())
    return cases


_KERNELS = {2: "bilinear", 3: "bicubic"}


def timm_cases() -> dict[str, tuple[dict[str, Any], Prepare]]:
    from timm.data import create_transform
    from timm.models import get_pretrained_cfg

    configs = {name.partition(".")[0]: get_pretrained_cfg(name).to_dict() for name in TIMM} | TIMM_OWN
    keys = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")
    cases = {}
    for name, config in configs.items():
        stated = {key: config[key] for key in keys if config.get(key) is not None}
        transform = create_transform(**stated, is_training=False)
        cases[name] = (stated, lambda image, t=transform: t(image).numpy())
    return cases


CASES: dict[str, Callable[[], dict[str, tuple[dict[str, Any], Prepare]]]] = {
    "transformers4": transformers_cases,
    "transformers5": transformers_cases,
    "torchvision": torchvision_cases,
    "timm": timm_cases,
}


def upright_rgb(path: Path) -> Image.Image:
    """What our decoder hands on: turned as the camera was held, transparent parts white. The libraries do neither."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode in ("RGBA", "LA"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


if __name__ == "__main__":
    _, _, library, place = sys.argv
    images = {path.stem: upright_rgb(path) for path in sorted(Path(place).glob("*.*"))}
    for name, (document, prepare) in CASES[library]().items():
        folder = Path(place) / name
        folder.mkdir()
        (folder / "case.json").write_text(json.dumps(document))
        for stem, image in images.items():
            np.save(folder / f"{stem}.npy", np.asarray(prepare(image), np.float32))
