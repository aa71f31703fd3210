"""Owns the comparison with torchvision: its files read by us, ours read by it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from app.checkpoints.export import export_package
from app.checkpoints.load import ConvertOptions
from app.checkpoints.own import load_package, save_package
from app.errors import PackageError
from tests.parity.compare import assert_same_logits, converted
from tests.parity.conftest import made, run_reference

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]
CASES = {name: ConvertOptions(heads=4) for name in ("plain", "pre_logits", "old_names")} | {"full": ConvertOptions()}
HEADS = ("bare", "first", "named", "sequential", "dropout", "named_dropout")
SHAPE = {"image_size": 48, "patch_size": 16, "num_layers": 3, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 160}


@pytest.fixture(scope="module")
def cases() -> Iterator[Path]:
    with made("torchvision") as folder:
        yield folder


@pytest.mark.parametrize("name", CASES)
def test_logits_are_torchvisions(name: str, cases: Path):
    result = converted(cases / name, CASES[name])
    assert result.format == "torchvision"
    assert_same_logits(result.package.network, cases / name)


@pytest.mark.parametrize("head", HEADS)
def test_a_head_as_tutorials_replace_it(head: str, cases: Path, tmp_path: Path):
    result = converted(cases / f"head_{head}", ConvertOptions(heads=4))
    assert_same_logits(result.package.network, cases / f"head_{head}")
    prefixed = {f"module.model.{k}": v for k, v in torch.load(cases / f"head_{head}" / "weights.pth").items()}
    torch.save({"state_dict": prefixed}, tmp_path / "weights.pth")
    assert_same_logits(converted(tmp_path, ConvertOptions(heads=4)).package.network, cases / f"head_{head}")


@pytest.mark.parametrize(("head", "seen"), [("two", "'heads.2.weight'"), ("norm", "'heads.head.1.weight'")])
@pytest.mark.parametrize("drop", [False, True])
def test_a_head_of_several_layers_is_refused(head: str, seen: str, drop: bool, cases: Path):
    with pytest.raises(PackageError, match="its head has more than one layer") as caught:
        converted(cases / f"head_{head}", ConvertOptions(heads=4, drop_unused=drop))
    assert seen in str(caught.value)
    assert "--drop-unused" not in str(caught.value)


@pytest.mark.parametrize("name", CASES)
def test_round_trip_is_bit_equal(name: str, cases: Path, tmp_path: Path):
    save_package(tmp_path / "package", converted(cases / name, CASES[name]).package)
    export_package(tmp_path / "package", "torchvision", tmp_path / "back.pth")
    back = torch.load(tmp_path / "back.pth")
    original = torch.load(cases / name / "weights.pth")
    newer = {k.replace("mlp.linear_1", "mlp.0").replace("mlp.linear_2", "mlp.3"): v for k, v in original.items()}
    assert back.keys() == newer.keys()
    assert all(torch.equal(back[key], newer[key]) for key in back)


def test_torchvision_reads_what_we_write(cases: Path, tmp_path: Path):
    folder = tmp_path / "out" / "pre_logits"
    folder.mkdir(parents=True)
    save_package(tmp_path / "package", converted(cases / "pre_logits", CASES["pre_logits"]).package)
    export_package(tmp_path / "package", "torchvision", folder / "m.pth")
    case = {"arguments": {**SHAPE, "representation_size": 32}, "file": "m.pth", "size": 48}
    (folder / "case.json").write_text(json.dumps(case))
    run_reference("read", "torchvision", tmp_path / "out")
    assert_same_logits(load_package(tmp_path / "package").network, folder)
