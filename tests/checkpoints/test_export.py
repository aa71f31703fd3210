"""Owns the tests of export.py; that the other libraries read it, tests/parity shows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from app.checkpoints.export import export_package
from app.checkpoints.load import ConvertOptions, load_checkpoint
from app.checkpoints.own import load_package, save_package
from app.domain import PreprocessSpec
from app.errors import PackageError
from app.imaging.resample import resized_size
from app.package.variants import ViTConfig
from tests.checkpoints.networks import KINDS, RELATIVES, TINY, saved

# Relatives that arguments make of timm's plain network; the others are published under a name that goes first.
TIMMS = ("registers", "average", "average_of_normed", "map")
NETWORKS = {
    **{**KINDS, **RELATIVES},
    "hybrid_of_timm": ViTConfig(**{**TINY, "patch_size": 1, "img_size": (64, 64), "backbone_layers": (2, 2, 2, 2)}),
    "no_biases": ViTConfig(**TINY, qkv_bias=False, proj_bias=False),
}
CASES = {
    "timm": ("plain", "pre_logits", "no_class_row", "distilled", "hybrid_of_timm", "root", "no_biases", *TIMMS),
    "hf": ("plain", "distilled", "hybrid"),
    "torchvision": ("plain", "pre_logits"),
    "npz": ("plain", "pre_logits", "no_class_row", "hybrid", "root"),
}
# What these have otherwise leaves no tensor without a place.
UNLIKE = (
    ViTConfig(**TINY, final_norm=False),
    RELATIVES["average_of_normed"],
    ViTConfig(**TINY, global_pool="avg", fc_norm=False),
    ViTConfig(**TINY, mlp_layer="swiglu_packed"),
)
FILES = {"timm": "out", "hf": "out", "torchvision": "out.pth", "npz": "out.npz"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("kind", "network"), [(kind, name) for kind, names in CASES.items() for name in names])
def test_there_and_back_is_bit_equal(kind: str, network: str, dtype: torch.dtype, tmp_path: Path):
    original = saved(tmp_path / "package", NETWORKS[network], dtype)
    export_package(tmp_path / "package", kind, tmp_path / FILES[kind])
    back = load_checkpoint(tmp_path / FILES[kind], ConvertOptions(heads=4)).network
    assert all(torch.equal(tensor, back.state_dict()[key].to(dtype)) for key, tensor in _at(original, dtype).items())
    assert back.state_dict().keys() == original.state_dict().keys()


def _at(network: torch.nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {key: tensor.to(dtype) for key, tensor in network.state_dict().items()}


def test_a_transformers_folder_says_the_constants_labels_and_preprocessing(tmp_path: Path):
    saved(tmp_path / "package", ViTConfig(**TINY, gelu="tanh"))
    export_package(tmp_path / "package", "hf", tmp_path / "out")
    package = load_checkpoint(tmp_path / "out")
    assert (package.network.config.gelu, package.network.config.norm_eps) == ("tanh", 1e-6)
    assert package.labels == tuple(f"label {i}" for i in range(5))
    assert package.preprocess.resize_px == int(32 / 0.875)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == ["ViTForImageClassification"]


def test_a_timm_folder_has_nothing_of_ours(tmp_path: Path):
    saved(tmp_path / "package", KINDS["plain"])
    export_package(tmp_path / "package", "timm", tmp_path / "out")
    assert "vit_serve" not in json.loads((tmp_path / "out" / "config.json").read_text())


def test_a_table_without_class_row_gets_one_of_zeros_where_it_must(tmp_path: Path):
    original = saved(tmp_path / "package", KINDS["no_class_row"])
    export_package(tmp_path / "package", "hf", tmp_path / "out.safetensors")
    table = load_file(tmp_path / "out.safetensors")["vit.embeddings.position_embeddings"]
    assert not table[:, 0].any()
    assert torch.equal(table[:, 1:], original.state_dict()["pos_embed"])


def test_bfloat16_in_npz_is_two_bytes_without_meaning(tmp_path: Path):
    saved(tmp_path / "package", KINDS["plain"], torch.bfloat16)
    export_package(tmp_path / "package", "npz", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["cls"].dtype == np.dtype("V2")


@pytest.mark.parametrize(
    ("kind", "config", "words"),
    [
        ("torchvision", KINDS["distilled"], "torchvision has no place for dist_token"),
        ("torchvision", KINDS["hybrid"], "torchvision has no place for patch_embed.backbone"),
        ("npz", KINDS["distilled"], "npz has no place for dist_token"),
        ("hf", KINDS["pre_logits"], "hf has no place for representation_size 24"),
        ("timm", ViTConfig(**TINY, position="2d"), "positions of the kind '2d'"),
        ("timm", KINDS["hybrid"], r"an architecture's name, and has none with backbone_layers \(1, 2\)"),
        ("timm", RELATIVES["packed"], "has none with .* mlp_layer 'swiglu_packed', init_values None"),
        ("timm", ViTConfig(**TINY, global_pool="token_avg"), "joins the class token and the patches' mean"),
        (
            "torchvision",
            ViTConfig(**{**TINY, "img_size": (64, 32)}),
            "one image_size, .* 64 x 32 px .* --to timm",
        ),
        ("torchvision", ViTConfig(**{**TINY, "img_size": (40, 40)}), "one image_size, a multiple of the patch"),
        *((kind, config, f"{kind} has no place for ") for kind in ("torchvision", "npz") for config in UNLIKE),
        ("timm", ViTConfig(**{**TINY, "patch_size": 4, "stem_widths": (8, 16)}), "timm has no place for"),
    ],
)
def test_what_a_format_cannot_hold_is_named(kind: str, config: ViTConfig, words: str, tmp_path: Path):
    saved(tmp_path / "package", config)
    with pytest.raises(PackageError, match=words):
        export_package(tmp_path / "package", kind, tmp_path / FILES[kind])
    assert not (tmp_path / FILES[kind]).exists()


def test_averaging_with_the_mirror_image_is_said_to_be_lost(tmp_path: Path):
    saved(tmp_path / "package", ViTConfig(**TINY, mirror=True))
    [remark] = export_package(tmp_path / "package", "timm", tmp_path / FILES["timm"]).remarks
    assert "mirror image" in remark


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("timm", {"temperature": 0.8}, "temperature 0.8"),
        ("timm", {"preprocess": PreprocessSpec(32, 32, resize_px=40, library="huggingface")}, "resize_px, library"),
        ("hf", {"preprocess": PreprocessSpec(32, 32, crop_mode="border")}, "no crop mode border"),
        ("npz", {}, "how images are prepared; here it is PreprocessSpec(height=32"),
    ],
)
def test_what_a_package_says_and_the_format_cannot_is_told(
    kind: str, changes: dict[str, Any], words: str, tmp_path: Path
):
    saved(tmp_path / "package", KINDS["plain"])
    save_package(tmp_path / "changed", replace(load_package(tmp_path / "package"), **changes))
    remarks = export_package(tmp_path / "changed", kind, tmp_path / FILES[kind]).remarks
    assert any(words in remark for remark in remarks)


def test_a_crop_after_squashing_stays(tmp_path: Path):
    saved(tmp_path / "package", KINDS["plain"])
    spec = PreprocessSpec(32, 32, crop_pct=0.8, crop_mode="squash")
    save_package(tmp_path / "changed", replace(load_package(tmp_path / "package"), preprocess=spec))
    export_package(tmp_path / "changed", "hf", tmp_path / "out")
    back = load_checkpoint(tmp_path / "out").preprocess
    assert resized_size(50, 70, back) == resized_size(50, 70, spec) == (40, 40)
    assert (back.height, back.width) == (32, 32)


@pytest.mark.parametrize("kind", FILES)
def test_constants_that_a_format_has_otherwise_are_said(kind: str, tmp_path: Path):
    saved(tmp_path / "package", ViTConfig(**TINY, norm_eps=1e-3))
    remarks = export_package(tmp_path / "package", kind, tmp_path / FILES[kind]).remarks
    said = "norm_eps 1e-06 where this network has 0.001"
    assert any(said in remark for remark in remarks) == (kind != "hf")


@pytest.mark.parametrize(
    ("kind", "name"), [("npz", "out.pth"), ("torchvision", "out"), ("torchvision", "out.npz"), ("hf", "out.npz")]
)
def test_the_destination_must_be_of_the_kind(kind: str, name: str, tmp_path: Path):
    with pytest.raises(PackageError, match=f"for {kind} it must be"):
        export_package(tmp_path / "package", kind, tmp_path / name)


def test_nothing_is_overwritten(tmp_path: Path):
    (tmp_path / "out.npz").write_text("dear")
    with pytest.raises(PackageError, match="is there already"):
        export_package(tmp_path / "package", "npz", tmp_path / "out.npz")
    assert (tmp_path / "out.npz").read_text() == "dear"


def test_timms_folder_has_only_arguments_that_timm_takes(tmp_path: Path):
    saved(tmp_path / "package", ViTConfig(**TINY, norm_eps=1e-3, gelu="tanh"))
    export_package(tmp_path / "package", "timm", tmp_path / "out")
    document = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "vit_serve" not in document
    assert document["model_args"]["embed_dim"] == TINY["embed_dim"]
    assert not {"norm_eps", "gelu"} & document["model_args"].keys()


@pytest.mark.parametrize("kind", FILES)
def test_of_a_hybrids_constants_a_plain_network_needs_no_word(kind: str, tmp_path: Path):
    of_google: dict[str, Any] = {"group_norm_eps": 1e-6, "standardization": "deviation", "standardization_eps": 1e-5}
    saved(tmp_path / "package", ViTConfig(**TINY, **of_google, gelu="tanh"))
    remarks = export_package(tmp_path / "package", kind, tmp_path / FILES[kind]).remarks
    assert not [remark for remark in remarks if "group_norm" in remark or "standardization" in remark]
    assert any("gelu 'erf' where" in remark for remark in remarks) == (kind == "torchvision")
    saved(tmp_path / "hybrid", ViTConfig(**{**TINY, "patch_size": 4, "backbone_layers": ()}, **of_google))
    if kind == "timm":
        remarks = export_package(tmp_path / "hybrid", kind, tmp_path / "other").remarks
        assert any("group_norm_eps 1e-05 where" in remark for remark in remarks)


@pytest.mark.parametrize("kind", ["torchvision", "npz"])
def test_biases_that_are_not_there_are_written_as_zeros(kind: str, tmp_path: Path):
    original = saved(tmp_path / "package", NETWORKS["no_biases"])
    export_package(tmp_path / "package", kind, tmp_path / FILES[kind])
    back = load_checkpoint(tmp_path / FILES[kind], ConvertOptions(heads=4)).network
    for name, tensor in back.state_dict().items():
        expected = original.state_dict().get(name, torch.zeros(()))
        assert torch.equal(tensor, expected.expand_as(tensor))
    assert (back.config.qkv_bias, back.config.proj_bias) == (True, True)


@pytest.mark.parametrize(
    ("config", "architecture", "arguments"),
    [
        (KINDS["distilled"], "deit_tiny_distilled_patch16_224", {}),
        (KINDS["root"], "vit_tiny_r_s16_p8_224", {}),
        (RELATIVES["clip"], "vit_base_patch16_clip_224", {}),  # whose norm_eps no argument says
        (RELATIVES["layer_scale"], "vit_base_patch16_224", {"init_values": 1e-5}),
        (replace(KINDS["plain"], gelu="quick"), "vit_base_patch16_224", {"act_layer": "quick_gelu"}),
    ],
)
def test_timms_folder_names_what_builds_the_network(
    config: ViTConfig, architecture: str, arguments: dict[str, Any], tmp_path: Path
):
    saved(tmp_path / "package", config)
    assert not [r for r in export_package(tmp_path / "package", "timm", tmp_path / "out").remarks if "norm_eps" in r]
    document = json.loads((tmp_path / "out" / "config.json").read_text())
    assert document["architecture"] == architecture
    assert arguments.items() <= document["model_args"].items()
    assert load_checkpoint(tmp_path / "out").network.config == config
    [remark] = [r for r in export_package(tmp_path / "package", "timm", tmp_path / "w.pth").remarks if "create" in r]
    assert f"create_model({architecture!r}, num_classes=5" in remark


def test_transformers_is_told_of_openais_gelu(tmp_path: Path):
    saved(tmp_path / "package", ViTConfig(**TINY, gelu="quick"))
    export_package(tmp_path / "package", "hf", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["hidden_act"] == "quick_gelu"
    assert load_checkpoint(tmp_path / "out").network.config.gelu == "quick"
