"""Owns the tests of scores that are no softmax, through bootstrap and in both engines."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.checkpoints.export import export_package
from app.checkpoints.own import load_package, save_package
from app.domain import Activation, PreprocessSpec, Scoring
from app.engine.runners import device
from app.engine.runners.torch import TorchRunner, TorchRunnerConfig
from app.errors import InferenceFailed
from tests.engine.opening import Maker, start
from tests.graphs.tiny import blots, changed, copied, network, saved

ENGINES = ("torch", "openvino")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("classes", [1, 3])
def test_scores_are_those_of_the_activation(
    tmp_path: Path, cache: Path, maker: Maker, engine: str, classes: int
) -> None:
    made = network(num_classes=classes)
    package = saved(tmp_path / "package", made, activation="none")
    numbers = start(package, cache, engine=engine, precision="float32")
    assert numbers.info.activation == "none"
    assert np.abs(numbers.scores).max() > 0.1 and len(np.unique(numbers.scores)) > classes  # of each picture its own
    changed(package, vit_serve={"activation": "sigmoid", "calibration": {"temperature": 2.0, "threshold": 0.6}})
    sigmoids = start(package, cache, engine=engine, precision="float32")
    assert (sigmoids.info.activation, sigmoids.info.threshold) == ("sigmoid", 0.6)
    np.testing.assert_allclose(sigmoids.scores, 1 / (1 + np.exp(-numbers.scores / 2)), atol=1e-5)
    changed(package, vit_serve={"activation": "softmax", "calibration": {"temperature": 1.0}})
    softmax = start(package, cache, engine=engine, precision="float32")
    powers = np.exp(numbers.scores)
    np.testing.assert_allclose(softmax.scores, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)
    assert [start_.info.engine for start_ in (numbers, sigmoids, softmax)] == [engine] * 3


def test_a_choice_is_remembered_for_one_activation_alone(bare: Path, cache: Path, maker: Maker) -> None:
    """What agrees as a softmax need not agree as anything else; the graphs are the same."""
    package = copied(bare, cache.parent / "package")
    for activation in ("softmax", "sigmoid", "none", "sigmoid"):
        changed(package, vit_serve={"activation": activation})
        start(package, cache, precision="float32")
    assert maker.made() == [True, False, False]
    assert len(list((cache / "graphs").iterdir())) == 1


def test_a_foreign_checkpoint_keeps_its_activation_beside_the_graphs(
    bare: Path, tmp_path: Path, cache: Path, maker: Maker
) -> None:
    save_package(tmp_path / "own", replace(load_package(bare), activation="sigmoid"))
    export_package(tmp_path / "own", "hf", tmp_path / "hf")
    first = start(tmp_path / "hf", cache, engine="openvino", precision="float32")
    second = start(tmp_path / "hf", cache, engine="openvino", precision="float32")
    assert maker.made() == [True]
    assert first.info.activation == second.info.activation == "sigmoid"
    np.testing.assert_allclose(first.scores, start(tmp_path / "own", cache, engine="torch").scores, atol=0.03)
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    (tmp_path / "hf" / "config.json").write_text(json.dumps({**config, "problem_type": "regression"}))
    assert start(tmp_path / "hf", cache, engine="openvino", precision="float32").info.activation == "none"


@pytest.fixture
def with_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that computes in bfloat16."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


@pytest.mark.usefixtures("with_bfloat16")
@pytest.mark.parametrize(("activation", "precision"), [("softmax", torch.bfloat16), ("sigmoid", torch.float32)])
def test_rounding_that_moves_all_logits_alike_is_seen_where_they_stand_alone(
    activation: Activation, precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = network()
    made.head.weight.zero_()
    made.head.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    answers = [torch.tensor([[1.0, 0.0, 0.0]] * 4), torch.tensor([[2.0, 1.0, 1.0]] * 4)]
    monkeypatch.setattr(device, "_answers", lambda *_: answers)
    assert device.to_precision("auto", made, PreprocessSpec(32, 32), torch.device("cpu"), Scoring(activation))[1] == (
        precision
    )


@pytest.mark.usefixtures("with_bfloat16")
@pytest.mark.parametrize("activation", ["sigmoid", "none"])
def test_bfloat16_is_taken_where_each_number_holds(activation: Activation) -> None:
    made = network()
    made.head.weight.mul_(0.01)
    made.head.bias.fill_(1.0)
    spec, cpu = PreprocessSpec(32, 32), torch.device("cpu")
    assert device.to_precision("auto", made, spec, cpu, Scoring(activation))[1] == torch.bfloat16


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_a_network_without_finite_logits_does_not_warm_up(value: float) -> None:
    made = network()
    made.head.bias.fill_(value)
    config = TorchRunnerConfig(torch.device("cpu"), torch.float32, 2, scoring=Scoring("sigmoid"))
    with pytest.raises(InferenceFailed, match="no finite scores"):
        TorchRunner(made, blots(2), config).warm_up()
