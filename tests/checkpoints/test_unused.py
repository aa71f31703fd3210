"""Owns the tests of unused.py: what may be left out of a checkpoint, and what never."""

from pathlib import Path

import pytest
import torch

from app.checkpoints import torchvision
from app.checkpoints.load import ConvertOptions, load_checkpoint, read_checkpoint
from app.checkpoints.rules import Dims, match, write
from app.checkpoints.unused import problems
from app.errors import PackageError
from tests.checkpoints.test_load import HEADS, TIMM, bare, hub, state_of

DROP = ConvertOptions(heads=4, drop_unused=True)
INSIDE = (
    *("blocks.0.attn.inner_norm.weight", "blocks.1.extra", "blocks.0.ls3.gamma", "norm_post.weight", "patch_embed.x"),
    *("encoder.layer.0.adapter.down.weight", "vit.encoder.layer.3.x", "Transformer/encoderblock_0/x/kernel"),
    *("encoder.layers.encoder_layer_0.gate", "head.extra.weight", "backbone.x", "pos_embed_2", "q_bias", "v_bias"),
    *("gamma", "stages.0.x", "trunk.x", "summary_token", "storage_tokens", "bn.running_mean", "block1/unit01/x"),
    *("transformer.resblocks.0.x", "conv_stem.weight", "layer_scale.x", "rotary_emb.inv_freq", "embeddings.x"),
)
TRAINING = ("criterion.weight", "loss_fn.alpha", "val_loss.total", "n_averaged", "vit.mask_token", "decoder_norm.bias")
OTHERS = ("fc_reg.weight", "aux_head.weight", "projector.0.weight", "predictor.weight", "adapter.weight", "\x1b[31m")


def said(key: str, drop: bool) -> str:
    return "; ".join(problems(match(torchvision.LAYOUTS[0], [key]), drop))


@pytest.mark.parametrize("key", INSIDE)
def test_what_lies_inside_the_network_is_never_left_out(key: str):
    for drop in (False, True):
        assert f"{key!r} belongs inside the network" in said(key, drop)
        assert "--drop-unused" not in said(key, drop)


@pytest.mark.parametrize("key", TRAINING)
def test_what_only_training_uses_may_be_left_out(key: str):
    assert f"{key!r} is not part of a ViT (leave it out with --drop-unused)" in said(key, False)
    assert said(key, True) == ""


@pytest.mark.parametrize("key", OTHERS)
def test_of_what_is_not_known_the_condition_is_said(key: str):
    assert f"{key!r} is not part of a ViT" in said(key, False)
    assert "only if no answer passes through it" in said(key, False)
    assert said(key, False).isprintable()
    assert said(key, True) == ""


def test_a_layer_in_front_of_a_name_of_training_is_the_networks():
    assert "belongs inside" in said("blocks.0.loss.weight", True)


def test_of_very_many_keys_some_are_named():
    found = match(torchvision.LAYOUTS[0], [f"blocks.{i}.attn.q_bias" for i in range(40)])
    [text] = problems(found, True)
    assert len(text) < 300
    assert "and 34 more belong inside" in text


def test_separate_biases_of_queries_and_values_are_not_dropped(tmp_path: Path):
    biases = {f"blocks.{i}.attn.{name}_bias": torch.ones(64) for i in range(2) for name in "qv"}
    state = {key: tensor for key, tensor in state_of().items() if not key.endswith("qkv.bias")} | biases
    folder = hub(tmp_path, state, TIMM)
    for options in (HEADS, DROP):
        with pytest.raises(PackageError) as caught:
            load_checkpoint(folder, options)
        assert "--drop-unused" not in str(caught.value)


def test_what_is_dropped_is_told_and_changes_nothing(tmp_path: Path):
    state = {**state_of(), "fc_reg.weight": torch.ones(1, 64), "criterion.weight": torch.ones(5)}
    folder = hub(tmp_path, state, {**TIMM, "model_args": {"num_heads": 4}})
    with pytest.raises(PackageError, match="'criterion.weight' is not part"):
        load_checkpoint(folder)
    result = read_checkpoint(folder, DROP)
    assert {"left out: 'criterion.weight' (unknown)", "left out: 'fc_reg.weight' (unknown)"} <= {*result.remarks}
    kept, own = result.package.network.state_dict(), state_of()
    assert kept.keys() == own.keys()
    assert all(torch.equal(kept[key], own[key]) for key in own)


@pytest.mark.parametrize("place", ["heads.{}", "heads.head.{}"])
def test_torchvisions_head_of_several_layers_says_which(place: str, tmp_path: Path):
    written, _ = write(torchvision.LAYOUTS[0], state_of(), Dims(4))
    state = {key: tensor.clone() for key, tensor in written.items() if not key.startswith("heads.")}
    for n, shape in ((0, (64, 64)), (3, (5, 64))):
        state |= {f"{place.format(n)}.weight": torch.ones(shape), f"{place.format(n)}.bias": torch.ones(shape[0])}
    for options in (HEADS, DROP):
        with pytest.raises(PackageError, match="its head has more than one layer") as caught:
            load_checkpoint(bare(tmp_path, state), options)
        for n in (0, 3):
            assert repr(f"{place.format(n)}.weight") in str(caught.value)
