"""Owns the tests of load.py for what a checkpoint leaves open: guessed, refused, or changed on request."""

from pathlib import Path

import pytest
import torch

from app.checkpoints.load import ConvertOptions, load_checkpoint, read_checkpoint
from app.package.variants import ViTConfig
from tests.checkpoints.networks import TINY
from tests.checkpoints.test_load import HEADS, TIMM, bare, hub, refused, state_of


def test_a_package_of_ours_is_no_foreign_checkpoint(tmp_path: Path):
    refused(hub(tmp_path, state_of(), {**TIMM, "vit_serve": {}}), "is a model package already")


def test_heads_that_a_configuration_leaves_open_are_not_guessed(tmp_path: Path):
    folder = hub(tmp_path, state_of(), {**TIMM, "model_args": {}})
    refused(folder, "how many heads 'vit_unheard_of' has", "`vit-serve convert --heads N`", options=ConvertOptions())
    assert load_checkpoint(folder, HEADS).network.config.num_heads == 4


def test_heads_of_a_name_that_stands_for_another_width_are_not_taken(tmp_path: Path):
    config = {**TIMM, "architecture": "vit_base_patch16_224", "model_args": {}}  # of 12 heads, which 96 can be cut in
    state = state_of(ViTConfig(**{**TINY, "embed_dim": 96}))
    folder = hub(tmp_path, state, config)
    refused(folder, "of width 768, but its tensors have 96", "--heads N", options=ConvertOptions())
    assert load_checkpoint(folder, ConvertOptions(heads=6)).network.config.num_heads == 6
    (tmp_path / "timms").mkdir()
    folder = hub(tmp_path / "timms", state, {**config, "model_args": {"embed_dim": 96}})  # timm gives it the name's 12
    assert load_checkpoint(folder).network.config.num_heads == 12


def test_arguments_that_make_another_network_are_refused(tmp_path: Path):
    for name, value in (("act_layer", "silu"), ("norm_layer", "rmsnorm"), ("attn_layer", "diff")):
        folder = tmp_path / name
        folder.mkdir()
        refused(
            hub(folder, state_of(), {**TIMM, "model_args": {"num_heads": 4, name: value}}),
            name,
            options=ConvertOptions(),
        )


def test_an_argument_may_say_which_gelu(tmp_path: Path):
    folder = hub(tmp_path, state_of(), {**TIMM, "model_args": {"num_heads": 4, "act_layer": "quick_gelu"}})
    assert load_checkpoint(folder).network.config.gelu == "quick"


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
