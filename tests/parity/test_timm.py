"""Owns the comparison with timm: its files read by us, ours read by it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import app.graphs
from app.bootstrap import open_classifier
from app.checkpoints.export import export_package
from app.checkpoints.load import ConvertOptions, load_checkpoint
from app.checkpoints.own import load_package, save_package
from app.errors import PackageError
from app.settings import Settings
from tests.parity.compare import assert_same_logits, converted
from tests.parity.conftest import made, run_reference

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]
FOUR_HEADS = ConvertOptions(heads=4)
CASES = {
    "plain": ConvertOptions(),
    "hub": ConvertOptions(),
    "no_class_row": FOUR_HEADS,
    "no_qkv_bias": FOUR_HEADS,
    "hybrid_r50": FOUR_HEADS,
    "hybrid_r26": FOUR_HEADS,
    "hybrid_stem": FOUR_HEADS,
    "distilled": ConvertOptions(),
    "full": ConvertOptions(variant="vit_base_patch16_224"),
}
EXPORTED = {
    "hub": ("vit_base_patch16_224", {"embed_dim": 64, "depth": 3, "num_heads": 4, "num_classes": 7, "img_size": 48}),
    "distilled": ("deit_tiny_distilled_patch16_224", {"depth": 2, "img_size": 48}),
}
UNTOLD = "names do not tell"
RELATIVES = {
    "eva02_base_patch14_224": "inside attention",
    "beit_base_patch16_224": "BEiT",
    "vit_base_patch16_rpn_224": UNTOLD,
    "vit_small_patch16_dinov3": UNTOLD,
    "vit_small_patch16_rope_ape_224": UNTOLD,
    "vit_pe_core_tiny_patch16_384": UNTOLD,
    "vit_pe_spatial_tiny_patch16_512": UNTOLD,
}


@pytest.fixture(scope="module")
def cases() -> Iterator[Path]:
    with made("timm") as folder:
        yield folder


@pytest.mark.parametrize("name", CASES)
def test_logits_are_timms(name: str, cases: Path):
    result = converted(cases / name, CASES[name])
    assert result.layout == "timm"
    assert_same_logits(result.package.network, cases / name)


def test_a_hub_folder_says_heads_size_and_preprocessing(cases: Path):
    result = converted(cases / "hub")
    assert result.remarks == ()
    config = json.loads((cases / "hub" / "config.json").read_text())["pretrained_cfg"]
    spec = result.package.preprocess
    assert (spec.crop_pct, spec.interpolation, list(spec.mean)) == (
        config["crop_pct"],
        config["interpolation"],
        config["mean"],
    )


@pytest.mark.parametrize("name", RELATIVES)
def test_relatives_are_refused_by_name(name: str, cases: Path):
    with pytest.raises(PackageError, match=RELATIVES[name]):
        load_checkpoint(cases / "relatives" / name / "weights.safetensors")


@pytest.mark.parametrize("name", CASES)
def test_round_trip_is_bit_equal(name: str, cases: Path, tmp_path: Path):
    result = converted(cases / name, CASES[name])
    save_package(tmp_path / "package", result.package, result.dtype)
    assert load_package(tmp_path / "package").network.config == result.package.network.config
    export_package(tmp_path / "package", "timm", tmp_path / "back.safetensors")
    back = load_file(tmp_path / "back.safetensors")
    (weights,) = [path for path in (cases / name).iterdir() if path.name.startswith(("weights.", "model."))]
    original = load_file(weights) if weights.suffix == ".safetensors" else torch.load(weights)["model"]
    original = {key.removeprefix("module."): value for key, value in original.items()}
    assert back.keys() == original.keys()
    assert all(torch.equal(back[key], original[key]) for key in back)


def test_timm_reads_what_we_write(cases: Path, tmp_path: Path):
    for name, (architecture, arguments) in EXPORTED.items():
        folder = tmp_path / "out" / name
        folder.mkdir(parents=True)
        save_package(tmp_path / name, converted(cases / name).package)
        export_package(tmp_path / name, "timm", folder / "m.safetensors")
        case = {"architecture": architecture, "arguments": arguments, "file": "m.safetensors", "size": 48}
        (folder / "case.json").write_text(json.dumps(case))
    run_reference("read", "timm", tmp_path / "out")
    for name in EXPORTED:
        assert_same_logits(load_package(tmp_path / name).network, tmp_path / "out" / name)


async def test_both_engines_give_the_same_scores(cases: Path, tmp_path: Path):
    picture = next((Path(app.graphs.__file__).parent / "photographs").glob("*.jpg")).read_bytes()
    answers = {}
    for engine in ("torch", "openvino"):
        settings = Settings(model=str(cases / "hub"), engine=engine, precision="float32", cache_dir=str(tmp_path))
        async with open_classifier(settings) as classifier:
            await classifier.ready()
            assert (classifier.info.engine, classifier.info.device) == (engine, "cpu")
            answer = await classifier.classify(picture, top_k=7)
        answers[engine] = {each.index: each.score for each in answer.predictions}
    assert len(answers["torch"]) == 7
    assert max(answers["torch"].values()) - min(answers["torch"].values()) > 1e-3
    assert answers["openvino"] == pytest.approx(answers["torch"], abs=1e-4)
