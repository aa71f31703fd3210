"""Owns the tests of which transformers class a network is written for; that it loads there, tests/parity shows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from app.checkpoints.export import export_package
from app.checkpoints.load import ConvertOptions, load_checkpoint
from app.checkpoints.own import load_package, save_package
from app.domain import Activation, PreprocessSpec
from app.errors import PackageError
from app.package.preprocessing import preprocess_named
from app.package.variants import ViTConfig
from tests.checkpoints.networks import KINDS, RELATIVES, TINY, saved

CLIP = ViTConfig(**TINY, pre_norm=True, final_norm=False, global_pool="avg", norm_eps=1e-5, gelu="quick")
MEAN = RELATIVES["average_of_normed"]
DINO = ViTConfig(**TINY, init_values=1e-6, global_pool="token_avg")
REGISTERS = replace(DINO, reg_tokens=3)
CLASSES = {
    "ViT": ViTConfig(**TINY, in_chans=4),
    "CLIP": CLIP,
    "Siglip": replace(MEAN, gelu="tanh"),
    "IJepa": replace(MEAN, qkv_bias=False, img_size=(32, 64)),
    "Dinov2": replace(DINO, mlp_layer="swiglu_packed"),
    "Dinov2WithRegisters": REGISTERS,
}


def exported(folder: Path, config: ViTConfig, dtype: torch.dtype = torch.float32, **changes: Any) -> dict[str, Any]:
    """What stands in config.json; the network lies in `package`, the folder of transformers in `out`."""
    saved(folder / "package", config, dtype)
    if changes:
        save_package(folder / "package", replace(load_package(folder / "package"), **changes))
    export_package(folder / "package", "hf", folder / "out")
    document: dict[str, Any] = json.loads((folder / "out" / "config.json").read_text())
    return document


def without_positions_of_registers(folder: Path) -> None:
    package = load_package(folder)
    package.network.state_dict()["pos_embed"][:, 1:4] = 0
    save_package(folder, package)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stem", CLASSES)
def test_the_way_there_and_back_changes_nothing(stem: str, dtype: torch.dtype, tmp_path: Path):
    saved(tmp_path / "drawn", CLASSES[stem], dtype)
    if CLASSES[stem].reg_tokens:
        without_positions_of_registers(tmp_path / "drawn")
    original = load_package(tmp_path / "drawn")
    save_package(tmp_path / "package", original, dtype)
    export_package(tmp_path / "package", "hf", tmp_path / "out")
    document = json.loads((tmp_path / "out" / "config.json").read_text())
    assert document["architectures"] == [f"{stem}ForImageClassification"]
    back = load_checkpoint(tmp_path / "out")
    assert back.network.config == original.network.config
    assert back.labels == original.labels
    state = back.network.state_dict()
    assert state.keys() == original.network.state_dict().keys()
    assert all(torch.equal(tensor, state[key]) for key, tensor in original.network.state_dict().items())


@pytest.mark.parametrize(
    ("config", "stem", "differing"),
    [
        (RELATIVES["layer_scale"], "Dinov2", {"global_pool": "token_avg"}),
        (ViTConfig(**TINY, global_pool="avg", fc_norm=False), "Dinov2", {"global_pool": "token_avg", "fc_norm": None}),
        (ViTConfig(**TINY, fc_norm=True), "ViT", {"fc_norm": None}),
        (ViTConfig(**TINY, position="none"), "ViT", {"position": "1d"}),
        (RELATIVES["registers"], "Dinov2WithRegisters", {"global_pool": "token_avg", "no_embed_class": False}),
        (
            ViTConfig(**TINY, mlp_layer="swiglu", mlp_ratio=2),
            "Dinov2",
            {"global_pool": "token_avg", "mlp_layer": "swiglu_packed", "mlp_ratio": 4.0},
        ),
        (replace(CLIP, no_embed_class=True, proj_bias=False), "CLIP", {"no_embed_class": False, "proj_bias": True}),
        (replace(MEAN, proj_bias=False), "IJepa", {"proj_bias": True}),
    ],
)
def test_what_the_class_says_otherwise_answers_the_same(
    config: ViTConfig, stem: str, differing: dict[str, Any], tmp_path: Path
):
    document = exported(tmp_path, config)
    assert document["architectures"] == [f"{stem}ForImageClassification"]
    original, back = load_package(tmp_path / "package").network, load_checkpoint(tmp_path / "out").network
    scale = None if back.config.init_values is None else config.init_values or 1.0
    assert back.config == replace(config, **differing, init_values=scale)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(back(x), original(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (RELATIVES["map"], "hf has no place for global_pool 'map': .* --to timm"),
        (RELATIVES["clip"], "pre_norm True: ViTForImageClassification, which comes nearest"),
        (ViTConfig(**TINY, qk_norm=True), "qk_norm True"),
        (ViTConfig(**TINY, final_norm=False), "final_norm False"),
        (ViTConfig(**TINY, global_pool="avg"), "a norm after the pooling"),
        (replace(DINO, pool_include_prefix=True), "a mean over the prefix tokens too.* is without$"),
        (replace(DINO, img_size=(32, 64)), "images that are not square: .* at a square --size first$"),
        (replace(CLIP, img_size=(32, 64)), "images that are not square: .*, or --to timm"),
        (replace(DINO, mlp_ratio=2.5), "an MLP of another width than a whole mlp_ratio makes"),
        (replace(MEAN, init_values=1e-5), "init_values 1e-05"),
        (KINDS["root"], "a ResNet's root without stages"),
        (ViTConfig(**{**TINY, "patch_size": 4, "stem_widths": (8, 16)}), r"stem_widths \(8, 16\): .* is without$"),
    ],
)
def test_what_no_class_has_is_named(config: ViTConfig, words: str, tmp_path: Path):
    saved(tmp_path / "package", config)
    with pytest.raises(PackageError, match=words) as caught:
        export_package(tmp_path / "package", "hf", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_positions_of_registers_are_added_to_them(tmp_path: Path):
    exported(tmp_path, REGISTERS)
    original, back = (
        load_package(tmp_path / "package").network.state_dict(),
        load_checkpoint(tmp_path / "out").network.state_dict(),
    )
    assert torch.equal(back["reg_token"], original["reg_token"] + original["pos_embed"][:, 1:4])
    assert not back["pos_embed"][:, 1:4].any()
    assert torch.equal(back["pos_embed"][:, 4:], original["pos_embed"][:, 4:])


def test_positions_of_registers_in_half_precision_would_be_rounded(tmp_path: Path):
    with pytest.raises(PackageError, match=r"not exact in torch\.bfloat16; timm has: --to timm"):
        exported(tmp_path, replace(REGISTERS, global_pool="token"), torch.bfloat16)


@pytest.mark.parametrize(("activation", "problem"), [("sigmoid", "multi_label_classification"), ("none", "regression")])
@pytest.mark.parametrize("stem", CLASSES)
def test_labels_and_the_kind_of_scores_are_said(stem: str, activation: Activation, problem: str, tmp_path: Path):
    document = exported(tmp_path, CLASSES[stem], activation=activation)
    assert document["problem_type"] == problem
    assert document["id2label"] == {str(i): f"label {i}" for i in range(5)}
    assert load_checkpoint(tmp_path / "out").activation == activation


def test_a_tower_stands_under_its_key(tmp_path: Path):
    document = exported(tmp_path, CLASSES["Siglip"])
    assert document["model_type"] == "siglip"
    assert document["vision_config"] == {
        "model_type": "siglip_vision_model",
        **{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256},
        **{"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "attention_dropout": 0.0},
        **{"image_size": 32, "patch_size": 16, "num_channels": 3, "vision_use_head": False},
    }


def test_what_a_class_has_and_does_not_read_is_there(tmp_path: Path):
    exported(tmp_path / "clip", CLIP)
    tensors = load_file(tmp_path / "clip" / "out" / "model.safetensors")
    assert tensors["vision_model.post_layernorm.weight"].eq(1).all()
    assert not tensors["vision_model.post_layernorm.bias"].any()
    exported(tmp_path / "dino", DINO)
    tensors = load_file(tmp_path / "dino" / "out" / "model.safetensors")
    assert tensors["dinov2.embeddings.mask_token"].shape == (1, 64)


@pytest.mark.parametrize(
    ("stem", "family", "processor"),
    [
        ("CLIP", "clip", "CLIP"),
        ("CLIP", "siglip", "ViT"),
        ("Siglip", "siglip", "Siglip"),
        ("Siglip", "hf-deit", "DeiT"),
        ("IJepa", "hf-vit", "ViT"),
        ("Dinov2", "dinov2", "Bit"),
        ("Dinov2WithRegisters", "dinov2", "Bit"),
    ],
)
def test_images_are_prepared_by_the_classs_own_processor_where_that_can(
    stem: str, family: str, processor: str, tmp_path: Path
):
    spec = preprocess_named(family, *CLASSES[stem].img_size)
    exported(tmp_path, CLASSES[stem], preprocess=spec)
    document = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    assert document["image_processor_type"] == f"{processor}ImageProcessor"
    back = load_checkpoint(tmp_path / "out", ConvertOptions()).preprocess
    assert back == replace(spec, crop_pct=back.crop_pct)
    assert isinstance(back, PreprocessSpec)


def test_tensorflows_pixels_are_said_to_differ(tmp_path: Path):
    saved(tmp_path / "package", KINDS["plain"])
    package = replace(load_package(tmp_path / "package"), preprocess=preprocess_named("google", 32, 32))
    save_package(tmp_path / "changed", package)
    remarks = export_package(tmp_path / "changed", "hf", tmp_path / "out").remarks
    assert any("TensorFlow" in remark for remark in remarks)


def test_a_file_alone_is_said_to_need_a_configuration(tmp_path: Path):
    saved(tmp_path / "package", CLIP)
    [remark] = export_package(tmp_path / "package", "hf", tmp_path / "out.safetensors").remarks
    assert "those of CLIPForImageClassification; transformers needs its config.json" in remark
