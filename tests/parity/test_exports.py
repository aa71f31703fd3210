"""Owns the proof that other libraries build and read what we export, of networks that are not quite their own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.checkpoints.export import export_package
from app.checkpoints.own import load_package, save_package
from app.package.variants import ViTConfig
from tests.checkpoints.networks import KINDS, RELATIVES, TINY, saved
from tests.parity.compare import assert_same_logits
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
    "oblong": ViTConfig(**{**TINY, "img_size": (224, 160), "gelu": "tanh"}),
}
SMALL = {"img_size": 32, "embed_dim": 64, "depth": 2, "num_heads": 4, "num_classes": 5}
TORCHVISION = {"image_size": 32, "patch_size": 16, "num_layers": 2, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 256}


def case(folder: Path, config: ViTConfig, kind: str, file: str, **described: Any) -> None:
    saved(folder / "package", config)
    export_package(folder / "package", kind, folder / file)
    (folder / "case.json").write_text(json.dumps({"file": file, "size": config.img_size, **described}))


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
