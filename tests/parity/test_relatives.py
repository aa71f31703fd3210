"""Owns the comparison of the ViT's relatives with timm and with transformers, every parameter drawn anew."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import app.package.published
from app.checkpoints.export import export_package
from app.checkpoints.load import ConvertOptions
from app.checkpoints.own import load_package, save_package
from app.package.published import published_fields, published_names, unlike
from app.package.variants import VARIANTS, variant
from tests.parity.compare import assert_same_logits, converted
from tests.parity.conftest import run_reference
from tests.parity.relatives import kinds

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]
TRANSFORMERS = {
    "clip": "CLIPForImageClassification",
    "siglip": "SiglipForImageClassification",
    "dinov2": "Dinov2ForImageClassification",
    "dinov2_swiglu": "Dinov2ForImageClassification",
    "registers": "Dinov2WithRegistersForImageClassification",
    "msn": None,  # the names of ViT's class, or a mixture
    "ijepa": "IJepaForImageClassification",
}
STARTS = {
    **{"mae": "ViT", "dinov2_trunk": "Dinov2Model", "clip_tower": "CLIPModel", "clip_vision": "CLIPModel"},
    **{"siglip_tower": "SiglipModel", "siglip_vision": "SiglipModel"},
}


@pytest.fixture(scope="module", params=["timm", "transformers4", "transformers5"])
def library(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        run_reference("make", request.param, Path(folder), script="relatives.py")
        yield request.param, Path(folder)


def test_logits_are_the_librarys(library: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = library
    cases = kinds() if name == "timm" else list(TRANSFORMERS)
    for case in cases:
        result = converted(folder / case)
        assert result.layout == "timm" if name == "timm" else TRANSFORMERS[case] in (None, result.layout)
        assert not [remark for remark in result.remarks if remark.startswith("assumed")], case
        save_package(tmp_path / case, result.package)
        package = load_package(tmp_path / case)
        assert package.network.config == result.package.network.config
        assert_same_logits(package.network, folder / case)


def test_converted_back_is_the_same(library: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = library
    for case in TRANSFORMERS if name != "timm" else ():
        package = converted(folder / case).package
        save_package(tmp_path / case, package)
        export_package(tmp_path / case, "hf", tmp_path / f"{case}-back")
        back = converted(tmp_path / f"{case}-back").package
        assert replace(back, network=package.network, name=package.name, sha256=package.sha256) == package
        assert back.network.config == package.network.config
        state = back.network.state_dict()
        assert all(torch.equal(tensor, state[key]) for key, tensor in package.network.state_dict().items())


def test_what_has_no_head_is_a_start_for_training(library: tuple[str, Path]) -> None:
    name, folder = library
    for case, layout in STARTS.items() if name != "timm" else ():
        result = converted(folder / case, ConvertOptions(for_training=True))
        assert layout in result.layout
        assert result.package.network.has_dead_head
        result.package.network.set_submodule("head", torch.nn.Identity())
        if case != "mae":
            assert_same_logits(result.package.network, folder / case)


def test_the_table_is_timms(tmp_path: Path) -> None:
    run_reference("print", "timm", tmp_path / "table.json", script="timm_table.py")
    table = Path(app.package.published.__file__).parent / "timm_vits.json"
    assert (tmp_path / "table.json").read_text() == table.read_text()


def test_hybrids_of_ours_are_not_in_the_table_as_something_else() -> None:
    for name in VARIANTS:
        assert (fields := published_fields(name)) is None or variant(name) == replace(VARIANTS[name], **fields)
    assert unlike("vit_base_patch16_rpn_224") == "block_fn ResPostBlock"
    assert len(published_names()) > 140
