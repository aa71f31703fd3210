"""Owns the tests of runs whose backbone begins as a public EfficientNet-Lite0."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

from app.checkpoints.own import load_package
from app.cli.main import main
from app.errors import PackageError, SetupError
from app.network.vit import VisionTransformer
from app.package.config import file_sha256
from app.package.variants import VARIANTS
from app.training.freeze import freeze_backbone
from app.training.loop import Trainer
from app.training.optimizers import Optimizers
from app.training.recipe import Recipe
from app.training.run import RunConfig, run
from app.training.start import load_start, random_start
from tests.training.pictures import RECIPE, SHAPE, stripe_files, stripes, write_zip

NAME = "vit_test_lite4_64"
SHAPE_LITE = replace(SHAPE, img_size=(64, 64), patch_size=1, lite_stages=4)
LITE = replace(RECIPE, variant=NAME, epochs=1, image_size=32, freeze_stages=2)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, NAME, SHAPE_LITE)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(2)
    torch.save(EfficientNet.from_name("efficientnet-lite0").state_dict(), tmp_path / "lite0.pth")
    return tmp_path / "lite0.pth"


def test_the_backbone_is_the_files_and_all_else_is_drawn(weights: Path):
    start = load_start(str(weights), LITE)
    assert (start.name, start.sha256, start.is_backbone) == ("lite0.pth", file_sha256(weights), True)
    assert start.weights is not None and all(name.startswith("patch_embed.backbone.") for name in start.weights)
    theirs = torch.load(weights, weights_only=True)
    network = start.network(3)
    state = network.state_dict()
    assert torch.equal(state["patch_embed.backbone.stem.conv.weight"], theirs["_conv_stem.weight"])
    assert torch.equal(
        state["patch_embed.backbone.blocks.4.filter.norm.running_var"], theirs["_blocks.4._bn1.running_var"]
    )
    assert state["blocks.0.attn.qkv.weight"].std() > 0
    assert network.has_dead_head
    assert start.spec.mean == (128 / 255,) * 3  # the network's padding is zero, the middle grey


def test_what_does_not_go_together_is_refused(weights: Path, tmp_path: Path):
    with pytest.raises(SetupError, match=r"freeze is 1, but lite0\.pth has weights for the backbone only"):
        load_start(str(weights), replace(LITE, freeze="1"))
    with pytest.raises(SetupError, match="freeze_stages is 5, but there are 4 stages"):
        load_start(str(weights), replace(LITE, freeze_stages=5))
    with pytest.raises(SetupError, match="freeze_stages is 2, but there is no start"):
        random_start(LITE)
    torch.save({"head.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    with pytest.raises(PackageError, match=r"other\.pth: there is no tensor for 'patch_embed\.backbone"):
        load_start(str(tmp_path / "other.pth"), LITE)
    with pytest.raises(ValueError, match="freeze_stages is -1"):
        replace(LITE, freeze_stages=-1)


@pytest.mark.parametrize(("stages", "blocks"), [(0, 0), (1, 1), (2, 3), (4, 8)])
def test_the_first_stages_are_frozen_and_all_statistics_kept(stages: int, blocks: int):
    network = VisionTransformer(SHAPE_LITE)
    modules = freeze_backbone(network, stages)
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert {name.split(".")[3] for name in frozen if ".blocks." in name} == {str(i) for i in range(blocks)}
    assert ("patch_embed.backbone.stem.conv.weight" in frozen) == bool(stages)
    assert set(modules) == {m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert freeze_backbone(VisionTransformer(SHAPE), 0) == []


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_training_moves_what_is_not_frozen_and_no_statistics(weights: Path, tmp_path: Path, precision: torch.dtype):
    start = load_start(str(weights), LITE)
    trainer = Trainer(LITE, start, 2, CPU, precision)
    before = {name: value.clone() for name, value in trainer.master.state_dict().items()}
    for _ in trainer.run(stripes(48), stripes(8), tmp_path / "c.pt"):
        pass
    for name, value in trainer.master.state_dict().items():
        entry = name.startswith(("patch_embed.backbone.stem", *(f"patch_embed.backbone.blocks.{i}." for i in range(3))))
        assert torch.equal(value, before[name]) == (entry or "running_" in name), name


def test_a_backbone_learns_at_its_share_of_the_rate():
    network = VisionTransformer(SHAPE_LITE)
    optimizers = Optimizers(network, replace(Recipe(), learning_rate=0.01, backbone_rate=0.1))
    rates = {p: group["lr"] for each in optimizers.each for group in each.param_groups for p in group["params"]}
    assert {rates[p] for p in network.patch_embed.backbone.parameters()} == {0.001}
    assert rates[network.cls_token] == rates[network.head.bias] == optimizers.learning_rate == 0.01


def test_images_kept_small_are_enlarged_as_in_serving(weights: Path):
    trainer = Trainer(LITE, load_start(str(weights), LITE), 2, CPU, torch.float32)
    small, seen = stripes(4).images, []
    trainer.average.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    trainer.logits(small)
    assert seen[0].shape == (4, 3, 64, 64)
    for image, found in zip(small, seen[0], strict=True):
        pixels = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((64, 64), Image.Resampling.BICUBIC)
        expected = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)
        assert (found * 128 + 128 - expected).abs().max() < 1.25  # what is rounded twice there


def test_the_command_makes_a_package_whose_card_tells_what_began_as_what(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "recipe.json").write_text(LITE.to_json())
    data, out = write_zip(tmp_path / "stripes.zip", stripe_files(40)), tmp_path / "out"
    arguments = [str(data), "--out", str(out), "--recipe", str(tmp_path / "recipe.json"), "--from", str(weights)]
    assert main(["train", *arguments, "--variant", NAME, "--device", "cpu"]) == 0
    assert load_package(out).network.config.lite_stages == 4
    card = (out / "README.md").read_text()
    assert f"The backbone began as `lite0.pth` (SHA-256 `{file_sha256(weights)}`), whose first 2 stages" in card
    assert "all else with random weights; trained on cpu" in card
    assert "it was 32 x 32 px before" in card
    # By the recipe that was written, the variant need not be said again.
    arguments[2], arguments[4] = str(tmp_path / "again"), str(out / "recipe.json")
    assert main(["train", *arguments, "--device", "cpu"]) == 0
    # Nor by one whose start had another name.
    arguments[2], arguments[4] = str(tmp_path / "third"), str(tmp_path / "recipe.json")
    assert main(["train", *arguments, "--device", "cpu"]) == 0


def test_images_of_no_class_are_seen_in_full(weights: Path, tmp_path: Path):
    data = write_zip(tmp_path / "stripes.zip", stripe_files(40))
    others = write_zip(tmp_path / "others.zip", stripe_files(6))
    config = RunConfig(data, tmp_path / "out", LITE, "t", CPU, torch.float32, start=str(weights), out_of_scope=others)
    run(config, lambda report: None)
    assert "6 images that show none of the classes" in (tmp_path / "out" / "README.md").read_text()
