"""Owns the proof that other libraries build and read what we export, of networks that are not quite their own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from safetensors.torch import load_file

from app.checkpoints.export import export_package
from app.checkpoints.own import load_package, save_package
from app.imaging.decode import DecodeLimits
from app.imaging.resample import preprocess
from app.package.preprocessing import preprocess_named
from app.package.variants import ViTConfig
from tests.checkpoints.networks import KINDS, RELATIVES, TINY, saved
from tests.parity.compare import assert_same_logits, close
from tests.parity.conftest import run_reference

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]
NO_BIASES = ViTConfig(**TINY, qkv_bias=False, proj_bias=False)
TIMM = {
    **{name: KINDS[name] for name in ("plain", "no_class_row", "distilled", "root")},
    **{name: RELATIVES[name] for name in ("registers", "layer_scale", "average", "average_of_normed", "map")},
    "clip": replace(RELATIVES["clip"], gelu="quick"),
    "hybrid": ViTConfig(**{**TINY, "patch_size": 1, "img_size": (64, 96), "backbone_layers": (3, 4, 9)}),
    "hybrid_r26": ViTConfig(**{**TINY, "patch_size": 1, "img_size": (64, 64), "backbone_layers": (2, 2, 2, 2)}),
    "distilled_no_biases": ViTConfig(**TINY, distilled=True, qkv_bias=False),
    "average_with_class": ViTConfig(**TINY, global_pool="avg", pool_include_prefix=True),
    "average_before_norm": ViTConfig(**TINY, global_pool="avg", fc_norm=False),
    "no_biases": NO_BIASES,
    "no_final_norm": ViTConfig(**TINY, final_norm=False, qk_norm=True),
    **{f"{n}_channels": ViTConfig(**TINY, in_chans=n) for n in (1, 2, 4, 5)},
    "oblong": ViTConfig(**{**TINY, "img_size": (224, 160), "gelu": "tanh"}),
    "no_positions": ViTConfig(**TINY, position="none"),
}
CLIP = ViTConfig(**TINY, pre_norm=True, final_norm=False, global_pool="avg", norm_eps=1e-5, gelu="quick")
MEAN = RELATIVES["average_of_normed"]
DINO = ViTConfig(**TINY, init_values=1e-5, global_pool="token_avg")
TRANSFORMERS = {  # by the class that must be able to load it
    "plain": (KINDS["plain"], "ViT"),
    "msn": (ViTConfig(**TINY, norm_eps=1e-6), "ViT"),
    "oblong": (ViTConfig(**{**TINY, "img_size": (64, 32)}), "ViT"),
    "no_positions": (ViTConfig(**TINY, position="none"), "ViT"),
    "normed_after_picking": (ViTConfig(**TINY, fc_norm=True), "ViT"),
    "distilled": (KINDS["distilled"], "DeiTForImageClassificationWithTeacher"),
    "clip": (CLIP, "CLIP"),
    "clip_no_biases": (replace(CLIP, qkv_bias=False, proj_bias=False, no_embed_class=True, gelu="erf"), "CLIP"),
    "siglip": (replace(MEAN, gelu="tanh"), "Siglip"),
    "siglip_no_positions": (replace(MEAN, gelu="tanh", position="none", proj_bias=False), "Siglip"),
    "ijepa": (MEAN, "IJepa"),
    "ijepa_oblong": (replace(MEAN, img_size=(32, 64), gelu="tanh", qkv_bias=False), "IJepa"),
    "dinov2": (DINO, "Dinov2"),
    "dinov2_of_two_channels": (replace(DINO, in_chans=2, mlp_ratio=2, qkv_bias=False, proj_bias=False), "Dinov2"),
    "dinov2_swiglu": (replace(DINO, mlp_layer="swiglu_packed", mlp_ratio=2 * 128 / 64), "Dinov2"),
    "swiglu": (ViTConfig(**TINY, mlp_layer="swiglu", mlp_ratio=2, proj_bias=False), "Dinov2"),
    "deit_3": (ViTConfig(**TINY, init_values=1e-6, no_embed_class=True), "Dinov2"),
    "average": (ViTConfig(**TINY, global_pool="avg", fc_norm=False), "Dinov2"),
    "registers": (replace(DINO, reg_tokens=4), "Dinov2WithRegisters"),
    "registers_of_timm": (RELATIVES["registers"], "Dinov2WithRegisters"),
}
SMALL = {"img_size": 32, "embed_dim": 64, "depth": 2, "num_heads": 4, "num_classes": 5}
TORCHVISION = {"image_size": 32, "patch_size": 16, "num_layers": 2, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 256}


def case(folder: Path, config: ViTConfig, kind: str, file: str, **described: Any) -> None:
    saved(folder / "package", config)
    export_package(folder / "package", kind, folder / file)
    (folder / "case.json").write_text(
        json.dumps({"file": file, "size": config.img_size, "channels": config.in_chans, **described})
    )


def assert_read(library: str, folder: Path, names: Any) -> None:
    run_reference("read", library, folder)
    for name in names:
        assert_same_logits(load_package(folder / name / "package").network, folder / name)


def test_timm_builds_the_folder_by_its_configuration(tmp_path: Path) -> None:
    for name, config in TIMM.items():
        case(tmp_path / name, config, "timm", "exported")
    assert_read("timm", tmp_path, TIMM)


def test_timm_builds_a_network_of_an_architecture_of_ours(tmp_path: Path) -> None:
    saved(tmp_path / "pico" / "made", ViTConfig(**{**TINY, "patch_size": 4}))
    package = replace(load_package(tmp_path / "pico" / "made"), architecture="vit_pico_patch4_32")
    save_package(tmp_path / "pico" / "package", package)
    export_package(tmp_path / "pico" / "package", "timm", tmp_path / "pico" / "exported")
    (tmp_path / "pico" / "case.json").write_text(json.dumps({"file": "exported", "size": 32}))
    assert_read("timm", tmp_path, ["pico"])


def test_torchvision_reads_networks_without_biases(tmp_path: Path) -> None:
    case(tmp_path / "none", NO_BIASES, "torchvision", "m.pth", arguments={**TORCHVISION, "num_classes": 5})
    no_rows = replace(NO_BIASES, no_embed_class=True, proj_bias=True)
    case(tmp_path / "no_rows", no_rows, "torchvision", "m.pth", arguments={**TORCHVISION, "num_classes": 5})
    assert_read("torchvision", tmp_path, ["none", "no_rows"])


def test_timms_reader_of_npz_reads_networks_without_biases(tmp_path: Path) -> None:
    usual = {"architecture": "vit_base_patch16_224", "arguments": {**SMALL, "act_layer": "gelu_tanh"}}
    tanh = replace(NO_BIASES, gelu="tanh")
    case(tmp_path / "none", tanh, "npz", "m.npz", **usual)
    usual["arguments"] = {**SMALL, "no_embed_class": True}
    case(tmp_path / "no_rows", replace(NO_BIASES, no_embed_class=True), "npz", "m.npz", **usual)
    assert_read("npz", tmp_path, ["none", "no_rows"])


@pytest.mark.parametrize("library", ["transformers4", "transformers5"])
def test_transformers_loads_the_folder_strictly(library: str, tmp_path: Path) -> None:
    for name, (config, stem) in TRANSFORMERS.items():
        kind = stem if "For" in stem else f"{stem}ForImageClassification"
        case(tmp_path / name, config, "hf", "exported", **{"class": kind})
        assert json.loads((tmp_path / name / "exported" / "config.json").read_text())["architectures"] == [kind]
    assert_read(library, tmp_path, [name for name in TRANSFORMERS if name != "registers"])
    # Registers and their positions become one sum of float32, which is what a float32 network computes.
    expected = load_file(tmp_path / "registers" / "expected.safetensors")
    with torch.inference_mode():
        ours = load_package(tmp_path / "registers" / "package").network(expected["x"].float())
    close(ours, expected, "float32")


PROCESSORS = {"CLIP": "clip", "Siglip": "siglip", "ViT": "hf-vit", "DeiT": "hf-deit", "Bit": "dinov2"}


@pytest.mark.parametrize("library", ["transformers4", "transformers5"])
def test_transformers_prepares_images_as_the_folder_says(library: str, tmp_path: Path) -> None:
    networks = {"CLIP": CLIP, "Siglip": replace(MEAN, gelu="tanh"), "ViT": MEAN, "DeiT": MEAN, "Bit": DINO}
    picture = Image.fromarray(skimage.data.chelsea()[:201, :155])
    picture.save(tmp_path / "picture.png")
    specs = {name: preprocess_named(family, 32, 32) for name, family in PROCESSORS.items()}
    for name, spec in specs.items():
        saved(tmp_path / name / "drawn", networks[name])
        save_package(tmp_path / name / "package", replace(load_package(tmp_path / name / "drawn"), preprocess=spec))
        export_package(tmp_path / name / "package", "hf", tmp_path / name / "exported")
    run_reference("read", library, tmp_path, "exported_processors.py")
    classes = json.loads((tmp_path / "names.json").read_text())
    for name, spec in specs.items():
        assert classes[name].startswith(f"{name}ImageProcessor")
        ours = np.empty((32, 32, 3), np.uint8)
        preprocess((tmp_path / "picture.png").read_bytes(), spec, DecodeLimits(), ours)
        theirs = load_file(tmp_path / name / "pixels.safetensors")["pixels"][0].permute(1, 2, 0).numpy()
        levels = np.abs(theirs * np.array(spec.std) + np.array(spec.mean) - ours / 255) * 255
        assert levels.max() <= 1.01  # as test_preprocessing.py explains
        assert (levels > 0.01).mean() < 0.02
