from typing import Any

import pytest

from app.domain import PreprocessSpec
from app.errors import PackageError
from app.imaging.resample import resized_size
from app.package.preprocessing import (
    FAMILIES,
    preprocess_from_hf,
    preprocess_from_timm,
    preprocess_named,
    preprocess_to_timm,
)

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("name", "size", "resized", "interpolation", "normalisation"),
    [  # of an image of 300 x 400 pixels
        ("timm-augreg", 224, (248, 330), "bicubic", HALF),
        ("timm-augreg", 384, (384, 512), "bicubic", HALF),
        ("timm-miil", 224, (256, 341), "bilinear", ((0, 0, 0), (1, 1, 1))),
        ("timm-deit", 224, (248, 330), "bicubic", IMAGENET),
        ("deit", 224, (256, 341), "bicubic", IMAGENET),
        ("deit", 384, (438, 584), "bicubic", IMAGENET),
        ("torchvision", 224, (256, 341), "bilinear", IMAGENET),
        ("torchvision-l16", 224, (242, 322), "bilinear", IMAGENET),
        ("torchvision-swag", 518, (518, 690), "bicubic", IMAGENET),
        ("google", 384, (384, 384), "bilinear", HALF),
        ("big-vision", 384, (448, 597), "area", HALF),
        ("hf-vit", 224, (224, 224), "bilinear", HALF),
        ("hf-deit", 224, (256, 256), "bicubic", IMAGENET),
        ("hf-deit", 384, (438, 438), "bicubic", IMAGENET),
        ("hf-vit-hybrid", 384, (384, 512), "bicubic", HALF),
        ("tutorial", 224, (256, 341), "bilinear", HALF),
    ],
)
def test_families(name: str, size: int, resized: tuple[int, int], interpolation: str, normalisation: object) -> None:
    spec = preprocess_named(name, size, size)
    assert (spec.height, spec.width) == (size, size)
    assert resized_size(300, 400, spec) == resized
    assert (spec.interpolation, (spec.mean, spec.std)) == (interpolation, normalisation)


def test_an_unknown_family_is_told_the_known() -> None:
    with pytest.raises(PackageError, match=r"resnet.*timm-augreg.*tutorial"):
        preprocess_named("resnet", 224, 224)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_package_keeps_what_timm_cannot_say(name: str) -> None:
    spec = preprocess_named(name, 224, 224)
    timm, own = preprocess_to_timm(spec)
    assert preprocess_from_timm(timm, own) == spec
    assert preprocess_from_timm(timm).height == 224  # timm reads its part alone
    assert bool(own) == (name in ("google", "big-vision", "hf-deit", "hf-vit-hybrid", "clip", "dinov2"))


def test_hugging_faces_first_generation_leaves_out_what_the_class_knows() -> None:
    document = {"do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": 224}
    squash = PreprocessSpec(224, 224, "bilinear", 1.0, "squash", *HALF)
    assert preprocess_from_hf(document, "vit") == squash
    assert preprocess_from_hf({**document, "feature_extractor_type": "ViTFeatureExtractor"}, "deit") == squash
    hybrid = preprocess_from_hf(document, "vit-hybrid")
    assert (hybrid.resize_px, hybrid.crop_mode, hybrid.interpolation) == (224, "center", "bicubic")
    assert preprocess_from_hf({}, "vit") == squash


def test_another_rescale_factor_goes_into_mean_and_std() -> None:
    document = {"rescale_factor": 1 / 127.5, "image_mean": [1.0, 1.0, 1.0], "image_std": [1.0, 1.0, 1.0]}
    spec = preprocess_from_hf(document, "vit")
    assert spec.mean == pytest.approx((0.5, 0.5, 0.5))
    assert spec.std == pytest.approx((0.5, 0.5, 0.5))
    raw = preprocess_from_hf({"do_rescale": False, "do_normalize": False}, "vit")
    assert raw.std == pytest.approx((1 / 255,) * 3)
    usual = preprocess_from_hf({"rescale_factor": 0.00392156862745098, "image_mean": 0.5, "image_std": 0.25}, "vit")
    assert (usual.mean, usual.std) == ((0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    ("document", "kind", "word"),
    [
        ({"do_resize": False}, "vit", "do_resize"),
        ({"do_pad": True}, "vit", "do_pad"),
        ({"size": {"shortest_edge": 224}}, "vit", "do_center_crop"),
        ({"size": {"shortest_edge": 224, "longest_edge": 400}}, "vit-hybrid", "longest_edge"),
        ({"size": {"height": 224}}, "vit", "size.width"),
        ({"size": "224"}, "vit", "size"),
        ({"size": -1}, "vit", "size"),
        ({"size": 100_000}, "vit", "100000 px"),
        ({"resample": 9}, "vit", "resample"),
        ({"resample": "bicubic"}, "vit", "resample"),
        ({"do_center_crop": True}, "vit", "crop_size"),
        ({"rescale_factor": 0}, "vit", "rescale_factor"),
        ({"image_std": [0, 1, 1]}, "vit", "std"),
        ({"image_mean": [1, 2]}, "vit", "2 mean values"),
        ({"do_normalize": "yes"}, "vit", "do_normalize"),
        ({"image_processor_type": "MaskFormerImageProcessor"}, "vit", "MaskFormerImageProcessor"),
        ({}, "maskformer", "maskformer"),
        ({"image_processor_type": "PerceiverImageProcessor"}, "vit", "crops before it resizes"),
        ({"image_processor_type": "DINOv3ViTImageProcessorFast"}, "vit", "resizes in floating point"),
    ],
)
def test_what_cannot_be_done_exactly_is_refused_by_name(document: dict[str, Any], kind: str, word: str) -> None:
    with pytest.raises(PackageError, match=word) as caught:
        preprocess_from_hf(document, kind)
    assert "preprocessor_config.json" in str(caught.value)


@pytest.mark.parametrize(
    ("own", "word"),
    [
        ({"resize_px": 0}, "resize_px"),
        ({"resize_px": 100_000}, "100000 px"),
        ({"resize_px": [224]}, "resize_px"),
        ({"library": "opencv"}, "opencv"),
        ({"library": "tensorflow"}, "bicubic"),
        ({"interpolation": "area"}, "TensorFlow"),
        ({"antialias": True}, "antialias"),
    ],
)
def test_our_own_keys_are_checked(own: dict[str, Any], word: str) -> None:
    with pytest.raises((ValueError, TypeError), match=word):
        preprocess_from_timm({}, own)
