"""Networks that ours cannot be, where their library is not installed, or is not asked."""

import copy
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from app.checkpoints.located import locate
from app.checkpoints.providers import timm_names
from app.checkpoints.providers.extras import is_installed, missing
from app.checkpoints.providers.seam import Provided, proven
from app.checkpoints.sources import load_model, load_servable
from app.cli.main import main
from app.domain import PreprocessSpec, Scoring
from app.engine.runners.device import to_precision
from app.errors import DeviceError, HubError, NotOurNetwork, PackageError
from app.network.fold import PIXEL_OFFSET, fold_normalisation
from app.network.library import LibraryNetwork
from tests.checkpoints.hub_server import Repository, serve_hub
from tests.checkpoints.networks import KINDS, saved

SWIN = {"layers.0.blocks.0.attn.relative_position_bias_table": (169, 3), "patch_embed.proj.weight": (96, 3, 4, 4)}
CONFIGS: dict[str, dict[str, Any]] = {
    "timm": {"architecture": "swin_tiny_patch4_window7_224", "num_classes": 5},
    "transformers": {"model_type": "swin", "architectures": ["SwinForImageClassification"]},
}
absent = pytest.mark.skipif(
    is_installed("timm") or is_installed("transformers"), reason="what is said where a library is not installed"
)


def swin(folder: Path, config: dict[str, Any]) -> str:
    """A folder with a relative's tensors and that configuration."""
    folder.mkdir(exist_ok=True)
    save_file({name: torch.ones(shape) for name, shape in SWIN.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@absent
@pytest.mark.parametrize("library", CONFIGS)
def test_what_a_library_would_run_names_it_and_how_to_get_it(library: str, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=rf"'[Ss]win\w+' needs {library}.*pip install 'vit-serve\[{library}\]'"):
        load_servable(swin(tmp_path, CONFIGS[library]))


def test_the_command_that_gets_a_library_leaves_torch_as_it_is() -> None:
    version, _, _ = torch.__version__.partition("+")
    assert str(missing("timm", "this")).endswith(f"here: pip install 'vit-serve[timm]' torch=={version}")


def test_a_folder_that_has_a_librarys_name_is_not_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "timmm").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not is_installed("timmm")
    (tmp_path / "timmm" / "__init__.py").touch()
    importlib.invalidate_caches()
    assert is_installed("timmm")


@pytest.mark.parametrize(("line", "without"), [("raise RuntimeError('operator torchvision::nms')", True), ("", False)])
def test_torchvision_for_another_torch_goes_without_its_compiled_part(line: str, without: bool, tmp_path: Path) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("from torchvision import _meta_registrations")
    (package / "_meta_registrations.py").write_text(f"seen = 1\n{line}")
    code = (
        "from app.checkpoints.providers.torchvision import make_importable; make_importable(); import torchvision; "
        "print(hasattr(torchvision._meta_registrations, 'seen'))"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(not without)


@pytest.mark.parametrize("library", CONFIGS)
def test_what_needs_our_own_network_says_so(library: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = swin(tmp_path / "model", CONFIGS[library])
    with pytest.raises(NotOurNetwork, match=f"`serve`.*run '[Ss]win.*' by {library}, but this needs our own network"):
        load_model(folder)
    assert main(["convert", folder, str(tmp_path / "package"), "--to", "hf"]) != 0
    assert "is no package of ours" in capsys.readouterr().err
    for command in (
        ["inspect", folder],
        ["convert", folder, str(tmp_path / "package")],
        ["build", folder, "--out", str(tmp_path / "built")],
    ):
        assert main(command) != 0
        error = capsys.readouterr().err.strip()
        assert "relative position biases" in error and "needs our own network" in error
        assert len(error.splitlines()) == 1


def test_a_file_whose_library_nothing_tells_keeps_its_own_reason(tmp_path: Path) -> None:
    swin(tmp_path, CONFIGS["timm"])
    for load in (load_model, load_servable):
        with pytest.raises(NotOurNetwork, match=r"relative position biases \(BEiT, Swin\), seen at [^;]*$"):
            load(str(tmp_path / "model.safetensors"))


def test_what_our_network_can_be_is_never_a_librarys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("app.checkpoints.providers.load.load_by_library", refuse)
    saved(tmp_path, KINDS["plain"])
    config = json.loads((tmp_path / "config.json").read_text())
    del config["vit_serve"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_servable(str(tmp_path)).architecture == "vit_base_patch16_224"
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 100)  # what is broken stays so, whoever might build it
    with pytest.raises(PackageError, match="neither a safetensors"):
        load_servable(str(tmp_path))
    folder = tmp_path / "swin"
    swin(folder, CONFIGS["timm"])
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-8])
    with pytest.raises(PackageError, match="cannot be read") as caught:
        load_servable(str(folder))
    assert not isinstance(caught.value, NotOurNetwork)


def test_the_graphs_of_a_librarys_network_are_another_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = swin(tmp_path, CONFIGS["timm"])
    versions = {"timm": "1.0", "transformers": "5.0"}
    monkeypatch.setattr("app.checkpoints.located.version_of", versions.__getitem__)
    before = locate(folder).key
    assert locate(folder).key == before
    versions["timm"] = "2.0"
    assert locate(folder).key != before


def network_of(forward: Any) -> torch.nn.Module:
    """A module that computes a function; it has a parameter, as all have."""

    class Computing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> Any:
            return forward(x)

    return Computing()


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda x: (x, x), "one row of logits"),
        (lambda x: x, "one row of logits"),
        (lambda x: x.mean(dim=(2, 3)) / 0, "no finite numbers"),
        (lambda x: torch.zeros(2, 3), "scores all classes the same"),
        (lambda x: x.reshape(7, 7), r"does not take images of 8 x 9 px: RuntimeError: shape '\[7, 7\]'"),
    ],
)
def test_what_is_no_classifier_of_such_images_is_refused(forward: Any, words: str) -> None:
    with pytest.raises(PackageError, match=words):
        proven(Provided(network_of(forward), PreprocessSpec(8, 9), "net"))


def test_a_classifier_has_as_many_classes_as_it_gives_logits() -> None:
    network, classes = proven(Provided(network_of(lambda x: x.mean(dim=(2, 3))), PreprocessSpec(8, 9), "net"))
    assert classes == 3 and not network.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pixels_are_normalised_as_exactly_as_before(dtype: torch.dtype) -> None:
    spec = PreprocessSpec(4, 5, mean=(0.1, 0.5, 0.9), std=(0.2, 0.25, 0.3))
    network = LibraryNetwork(network_of(lambda x: x))
    assert network(torch.ones(1, 3, 4, 5)).equal(torch.ones(1, 3, 4, 5))  # until then it takes normalised images
    fold_normalisation(network, spec)
    pixels = torch.randint(0, 256, (2, 3, 4, 5))
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    expected = ((pixels / 255 - mean) / std).to(dtype)
    torch.testing.assert_close(network.to(dtype)((pixels - PIXEL_OFFSET).to(dtype)), expected, rtol=1e-7, atol=1e-6)


@absent
def test_a_name_of_timm_without_its_weights_tag_needs_timm() -> None:
    with pytest.raises(PackageError, match=r"timm:resnet50.*needs timm.*pip install 'vit-serve\[timm\]'"):
        locate("timm:resnet50")


def test_a_name_of_timm_with_its_tag_is_its_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "model", KINDS["plain"])
    files = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    with serve_hub({"timm/vit_x.us_in1k": Repository([files])}) as hub:
        found = in_hub(hub.url, tmp_path, "timm:vit_x.us_in1k")
        assert found.startswith("hf-hub:timm/vit_x.us_in1k@"), found
        assert "no such repository" in in_hub(hub.url, tmp_path, "timm:vit_x.other") or is_installed("timm")


def in_hub(url: str, home: Path, name: str) -> str:
    """What a name is found as, in a process that has this hub: the library reads its address once."""
    code = (
        "import sys; from app.checkpoints.located import locate; from app.errors import SetupError\n"
        "try: print(locate(sys.argv[1]).name)\n"
        "except SetupError as error: print(error)"
    )
    environment = {"HF_ENDPOINT": url, "HF_HOME": str(home / "hub"), "PATH": "", "HOME": str(home)}
    command = [sys.executable, "-c", code, name]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "timm has no weights of that name"),
        ({"repository": None, "url": "https://us/x.pth"}, r"at https://us/x\.pth; .*save_for_hf"),
    ],
)
def test_what_timm_has_in_no_repository_is_told(
    found: dict[str, Any] | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timm_names, "is_installed", lambda _: True)
    monkeypatch.setattr(timm_names, "_asked", lambda _: found)
    with pytest.raises(PackageError, match=words):
        timm_names.download("x")


def test_a_tag_that_is_in_another_owners_repository_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(name: str) -> None:
        asked.append(name)
        raise HubError(f"{name}: there is no such repository")

    monkeypatch.setattr(timm_names, "is_installed", lambda _: True)
    monkeypatch.setattr("app.checkpoints.providers.timm_names.hub.download", download)
    monkeypatch.setattr(timm_names, "_asked", lambda _: {"repository": "us/x.a", "url": "us/x.a"})
    with pytest.raises(HubError):
        timm_names.download("x.a")
    assert asked == ["timm/x.a", "us/x.a"]


def test_a_number_format_that_the_library_does_not_compute_in_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.runners.device.computes_in_bfloat16", lambda _: True)
    scale = torch.ones(3)
    spec = PreprocessSpec(4, 5)
    network = LibraryNetwork(network_of(lambda x: x.mean(dim=(2, 3)) @ torch.diag(scale)))
    fold_normalisation(network, spec)
    cpu = torch.device("cpu")
    with pytest.raises(DeviceError, match=r"does not compute it in torch\.bfloat16"):
        to_precision("bfloat16", copy.deepcopy(network), spec, cpu, Scoring())
    assert to_precision("auto", network, spec, cpu, Scoring())[1] == torch.float32
