"""Owns the tests of load.py for what a checkpoint leaves open: guessed, refused, or changed on request."""

from pathlib import Path

import pytest
import torch

from app.checkpoints.load import ConvertOptions, load_checkpoint, read_checkpoint
from tests.checkpoints.test_load import HEADS, TIMM, bare, hub, refused, state_of


def test_a_package_of_ours_is_no_foreign_checkpoint(tmp_path: Path):
    refused(hub(tmp_path, state_of(), {**TIMM, "vit_serve": {}}), "is a model package already")


def test_heads_that_a_configuration_leaves_open_are_not_guessed(tmp_path: Path):
    folder = hub(tmp_path, state_of(), {**TIMM, "model_args": {}})
    refused(folder, "how many heads vit_unheard_of has", options=ConvertOptions())
    assert load_checkpoint(folder, HEADS).network.config.num_heads == 4


def test_arguments_that_make_another_network_are_refused(tmp_path: Path):
    folder = hub(tmp_path, state_of(), {**TIMM, "model_args": {"num_heads": 4, "act_layer": "quick_gelu"}})
    refused(folder, "act_layer", options=ConvertOptions())


def test_grey_images_are_refused(tmp_path: Path):
    state = state_of()
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].sum(dim=1, keepdim=True)
    refused(bare(tmp_path, state), "1 channels; only RGB")


def test_tensors_without_axes_are_refused(tmp_path: Path):
    refused(bare(tmp_path, {**state_of(), "cls_token": torch.zeros(())}))


def test_what_is_assumed_is_logged_when_it_is_served(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    load_checkpoint(bare(tmp_path, state_of()), HEADS)
    assert any("assumed" in record.getMessage() for record in caplog.records)


def test_patches_of_another_size_see_the_same_picture_at_another_size(tmp_path: Path):
    path = bare(tmp_path, state_of())
    plain = load_checkpoint(path, HEADS)
    result = read_checkpoint(path, ConvertOptions(heads=4, patch_size=24))
    package = result.package
    assert (plain.network.config.patch_size, package.network.config.patch_size) == (16, 24)
    assert package.network.config.grid_size == plain.network.config.grid_size
    assert (package.preprocess.height, package.preprocess.width) == (48, 48)
    assert any("patch kernel resized from 16 to 24 px" in remark for remark in result.remarks)
    small = torch.nn.functional.interpolate(torch.randn(2, 3, 4, 4), size=(32, 32), mode="bicubic")
    large = torch.nn.functional.interpolate(small, size=(48, 48), mode="bicubic")
    with torch.inference_mode():
        expected, got = plain.network(small), package.network(large)
    assert (got - expected).abs().max() < 0.2 * expected.abs().max()
