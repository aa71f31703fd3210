"""Owns the tests of prefixes.py: the network is found among the modules of a script, and no other's tensors."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from app.checkpoints.layouts import LAYOUTS
from app.checkpoints.load import ConvertOptions, read_checkpoint
from app.checkpoints.rules import Dims, write
from app.errors import PackageError
from tests.checkpoints.networks import KINDS, drawn

State = dict[str, Tensor]
STATE: State = dict(drawn(KINDS["plain"]).state_dict())
OTHER: State = dict(drawn(KINDS["plain"], seed=1).state_dict())
TRUNK: State = {name: value for name, value in STATE.items() if not name.startswith("head.")}
HEAD: State = {leaf: STATE[f"head.{leaf}"] for leaf in ("weight", "bias")}


def spelled(layout: str, state: State = STATE) -> State:
    (found,) = [each for each in LAYOUTS if each.name == layout]
    written, homeless = write(found, state, Dims(num_heads=4))
    assert not homeless
    return written


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def served(folder: Path, document: Any) -> str:
    """That the file gives just these tensors; the remarks, as one text."""
    torch.save(document, folder / "w.ckpt")
    result = read_checkpoint(folder / "w.ckpt", ConvertOptions(heads=4, preprocess="tutorial"))
    found = result.package.network.state_dict()
    assert found.keys() == STATE.keys()
    for name, tensor in STATE.items():
        assert torch.equal(found[name], tensor), name
    return "; ".join(result.remarks)


def refused(folder: Path, document: Any, *words: str) -> None:
    torch.save(document, folder / "w.ckpt")
    with pytest.raises(PackageError) as caught:
        read_checkpoint(folder / "w.ckpt", ConvertOptions(heads=4))
    for word in (str(folder / "w.ckpt"), *words):
        assert word in str(caught.value)


V4, V5 = "transformers 4, ViTForImageClassification", "transformers 5, ViTForImageClassification"
BARE = ("transformers 4, ViTModel", "transformers 5, ViTModel")
PREFIXES = ("model.", "net.", "backbone.", "vit.", "model._orig_mod.", "network.module.vit.", "my_net.encoder.")


@pytest.mark.parametrize("layout", ["timm", V4, V5, "torchvision"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_is_taken_off_where_the_rest_is_a_layout(layout: str, prefix: str, tmp_path: Path):
    remarks = served(tmp_path, {"state_dict": under(prefix, spelled(layout)), "epoch": 3})
    assert f"names are read without {prefix.replace('_orig_mod.', '')!r}" in remarks


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "timm_model.", ""])
@pytest.mark.parametrize("layout", ["timm", V4, "torchvision"])
def test_of_the_usual_wrappers_nothing_is_said(prefix: str, layout: str, tmp_path: Path):
    assert "without" not in served(tmp_path, under(prefix, spelled(layout)))


def test_what_fsdp_and_compilation_put_into_names_is_taken_out(tmp_path: Path):
    state = {name.replace("blocks.0.", "blocks.0._checkpoint_wrapped_module."): value for name, value in STATE.items()}
    served(tmp_path, state)
    refused(tmp_path, {**STATE, **under("x._orig_mod.", {"a": HEAD["bias"]}), "x.a": HEAD["bias"]}, "differ only by")


@pytest.mark.parametrize("head", ["head", "classifier", "fc", "linear_head", "classifier.1"])
@pytest.mark.parametrize(("outer", "prefix"), [("", "backbone."), ("", "vit."), ("model.", "backbone."), ("", "")])
@pytest.mark.parametrize("layout", ["timm", *BARE, "torchvision"])
def test_a_head_outside_the_network_is_its_head(layout: str, outer: str, prefix: str, head: str, tmp_path: Path):
    state = {**under(prefix, spelled(layout, TRUNK)), **under(f"{head}.", HEAD)}
    remarks = served(tmp_path, {"state_dict": under(outer, state)})
    transformers_own = layout in BARE and (prefix, head) == ("vit.", "classifier")
    timms_own = layout == "timm" and (prefix, head) == ("", "head")
    assert (f"assumed: {outer + head!r} is the head" in remarks) is not (transformers_own or timms_own)


def test_a_head_behind_a_pooler_is_not_guessed(tmp_path: Path):
    pooler = {"pooler.dense.weight": torch.zeros(64, 64), "pooler.dense.bias": torch.zeros(64)}
    trunk = {name.removeprefix("vit."): value for name, value in spelled(V4, TRUNK).items()}
    refused(tmp_path, {**under("backbone.", {**trunk, **pooler}), **under("head.", HEAD)}, "'head'", "pooler")


@pytest.mark.parametrize(
    "more",
    [
        {"neck.weight": torch.zeros(64, 64)},
        {"head.0.weight": torch.zeros(64, 64), "head.2.weight": torch.zeros(5, 64)},
        {"projection.weight": torch.zeros(5, 64), "projection.bias": torch.zeros(5)},
        {"normalize.mean": torch.zeros(3), "normalize.weight": torch.zeros(3)},
    ],
)
def test_what_may_stand_between_network_and_answer_is_refused_by_name(more: State, tmp_path: Path):
    refused(tmp_path, {**under("backbone.", TRUNK), **more}, ".weight'")
    refused(tmp_path, {**under("backbone.", STATE), **more}, repr(next(iter(more))))


def test_a_linear_layer_behind_the_networks_own_head_is_not_left_out(tmp_path: Path):
    beside = {"predictor.weight": torch.zeros(3, 5)}
    refused(tmp_path, {**under("backbone.", STATE), **beside}, "'predictor.weight'")
    refused(tmp_path, {**under("backbone.", TRUNK), **under("classifier.", HEAD), **beside}, "'predictor.weight'")


@pytest.mark.parametrize("key", ["norm.weight", "blocks.0.norm1.bias", "cls_token"])
def test_a_key_outside_never_takes_a_place_within(key: str, tmp_path: Path):
    state = {name: value for name, value in under("model.", STATE).items() if name != f"model.{key}"}
    refused(tmp_path, {**state, key: STATE[key]}, repr(key), "'model.'")
    refused(tmp_path, {**under("model.", STATE), key: STATE[key]}, repr(key), "'model.'")


def test_losses_and_metrics_are_left_out_and_named(tmp_path: Path):
    beside = {
        "criterion.weight": torch.ones(5),
        "train_acc.tp": torch.zeros(5),
        "train_acc.fp": torch.zeros(5),
        "val_auroc.thresholds": torch.zeros(5),
        "loss_fn.pos_weight": torch.zeros(5),
    }
    remarks = served(tmp_path, {"state_dict": {**under("model.", STATE), **beside}})
    for name, count in (("criterion.", 1), ("train_acc.", 2), ("val_auroc.", 1), ("loss_fn.", 1)):
        assert f"left out: {name!r}, {count} of training's tensors" in remarks
    served(tmp_path, {**STATE, "criterion.weight": torch.ones(5)})  # the module is the network itself
    served(tmp_path, {**under("module.", STATE), "n_averaged": torch.tensor(3)})  # torch's AveragedModel


@pytest.mark.parametrize("layout", ["timm", V4])
@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ("teacher.", "student."),
        ("model_ema.module.", "model."),
        ("ema_model.", "model."),
        ("model.ema.", "model.net."),
        ("target_encoder.", "encoder."),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_of_two_networks_the_average_is_taken_and_it_is_said(
    layout: str, taken: str, left: str, first: bool, tmp_path: Path
):
    parts = [under(taken, spelled(layout)), under(left, spelled(layout, OTHER))]
    state = OrderedDict(item for part in parts[:: 1 if first else -1] for item in part.items())
    remarks = served(tmp_path, {"state_dict": state})
    assert "of several networks the one under" in remarks
    assert repr(left) in remarks


def test_of_a_wrapped_teacher_the_head_is_the_teachers(tmp_path: Path):
    teacher = {**under("teacher.backbone.", TRUNK), **under("teacher.head.", HEAD)}
    others = {name: value for name, value in OTHER.items() if not name.startswith("head.")}
    student = {**under("student.backbone.", others), "student.head.weight": OTHER["head.weight"]}
    served(tmp_path, {"state_dict": {**student, **teacher}})


@pytest.mark.parametrize("names", [("model_a.", "model_b."), ("", "inner."), ("teacher.", "student.", "third.")])
def test_several_networks_of_which_none_is_meant_are_refused(names: tuple[str, ...], tmp_path: Path):
    state = {key: value for name in names for key, value in under(name, STATE).items()}
    refused(tmp_path, state, "several networks", *(repr(name or "no prefix") for name in names))


def test_a_teacher_without_a_classifier_is_a_start(tmp_path: Path):
    heads = {"head.mlp.0.weight": torch.zeros(64, 64), "head.last_layer.weight_g": torch.zeros(9, 1)}
    document = {
        "student": under("module.backbone.", {**OTHER, **heads}),
        "teacher": {**under("backbone.", TRUNK), **heads},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []},
    }
    refused(tmp_path, document, "no head")
    torch.save(document, tmp_path / "w.ckpt")
    found = read_checkpoint(tmp_path / "w.ckpt", ConvertOptions(heads=4, for_training=True))
    assert torch.equal(found.package.network.state_dict()["cls_token"], STATE["cls_token"])
    assert any("'student." in remark for remark in found.remarks)


def test_an_adapter_that_is_not_merged_is_refused(tmp_path: Path):
    key = "base_model.model.vit.encoder.layer.0.attention.attention.query.lora_A.default.weight"
    refused(tmp_path, {**STATE, key: torch.zeros(8, 64)}, "LoRA", "merge_and_unload")
