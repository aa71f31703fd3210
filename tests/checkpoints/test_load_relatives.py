"""Owns the tests of reading the ViT's relatives: which they are, and which are not told apart."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.checkpoints.hf import LAYOUTS
from app.checkpoints.load import load_checkpoint, read_checkpoint
from app.checkpoints.own import load_package, save_package
from app.checkpoints.rules import Dims, Layout, write
from app.package.variants import ViTConfig
from tests.checkpoints.networks import RELATIVES, TINY, drawn
from tests.checkpoints.test_load import HEADS, TIMM, bare, hub, refused, state_of


@pytest.mark.parametrize("key", ["norm_pre.weight", "fc_norm.weight", "blocks.0.gamma_1", "attn_pool.q.bias"])
def test_half_a_relative_is_refused(key: str, tmp_path: Path):
    name = "ls1" if "gamma" in key else key.partition(".")[0]
    refused(bare(tmp_path, {**state_of(), key: torch.ones(1)}), name)


@pytest.mark.parametrize("kind", RELATIVES)
def test_shapes_say_which_relative_it_is(kind: str, tmp_path: Path):
    network, architecture = drawn(RELATIVES[kind]), "vit_base_patch16_clip_224" if kind == "clip" else "flexivit_base"
    arguments = {"num_heads": 4, "img_size": 32, "global_pool": RELATIVES[kind].global_pool}
    config = {**TIMM, "architecture": architecture, "model_args": arguments}
    result = read_checkpoint(hub(tmp_path, dict(network.state_dict()), config))
    assert result.package.network.config == RELATIVES[kind]
    save_package(tmp_path / "package", result.package)
    assert load_package(tmp_path / "package").network.config == RELATIVES[kind]
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(result.package.network(x), network(x))


@pytest.mark.parametrize("kind", RELATIVES)
def test_a_bare_file_is_served_where_its_names_can_be_no_other_networks(kind: str, tmp_path: Path):
    path = bare(tmp_path, dict(drawn(RELATIVES[kind]).state_dict()))
    if kind in ("clip", "layer_scale", "average_of_normed", "map"):
        assert load_checkpoint(path, HEADS).network.config == RELATIVES[kind]
    else:
        refused(path, "names do not tell", "--variant")


def test_the_repository_of_deit_iii_is_told_by_its_files_name(tmp_path: Path):
    network = drawn(ViTConfig(**TINY, init_values=1e-5, no_embed_class=True))
    state = {re.sub(r"ls(.)\.gamma", r"gamma_\1", key): value for key, value in network.state_dict().items()}
    refused(bare(tmp_path, state, "rope.safetensors"), "names do not tell")
    found = load_checkpoint(bare(tmp_path, state, "deit_3_small.safetensors"), HEADS).network
    assert found.config == network.config


def test_timms_pooling_is_that_of_its_arguments(tmp_path: Path):
    average = ViTConfig(**TINY, global_pool="avg", fc_norm=False)
    arguments = {"num_heads": 4, "global_pool": "avg", "fc_norm": False}
    config = {**TIMM, "architecture": "vit_tiny_patch16_224", "global_pool": "avg", "model_args": arguments}
    found = load_checkpoint(hub(tmp_path, state_of(), config))
    assert found.network.config == average


def test_an_architecture_of_other_parts_is_refused(tmp_path: Path):
    config = {**TIMM, "architecture": "vit_base_patch16_rpn_224"}
    refused(hub(tmp_path, state_of(), config), "vit_base_patch16_rpn_224 has block_fn ResPostBlock")


def test_a_masked_autoencoder_is_a_start_for_training(tmp_path: Path):
    state = {key: value for key, value in state_of().items() if not key.startswith("head.")}
    decoder = ("decoder_embed.weight", "decoder_blocks.0.attn.qkv.weight", "decoder_pos_embed", "decoder_pred.bias")
    path = bare(tmp_path, state | {key: torch.ones(1) for key in ("mask_token", *decoder)})
    refused(path, "no head to classify with", "train --from")
    found = read_checkpoint(path, replace(HEADS, for_training=True))
    assert found.package.network.has_dead_head
    assert sum("masked-image pre-training" in remark for remark in found.remarks) == 5


@pytest.mark.parametrize("layout", [each for each in LAYOUTS if "ViTForImage" in each.name], ids=lambda each: each.name)
def test_a_file_of_transformers_without_its_last_norm_or_class_token_is_broken(layout: Layout, tmp_path: Path):
    state = state_of()
    for lost, shown in (("norm.", "norm.weight"), ("cls_token", "cls_token")):
        kept = {key: value for key, value in state.items() if not key.startswith(lost)}
        written, _ = write(layout, kept, Dims(4))
        refused(bare(tmp_path, {key: value.contiguous() for key, value in written.items()}), shown)
