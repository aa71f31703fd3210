"""Owns the tests of checkpoints/located.py."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from huggingface_hub import close_session

from app.checkpoints.located import Located, locate
from app.checkpoints.own import load_package, write_tensors
from app.checkpoints.sources import load_model
from app.errors import HubError, PackageError, SetupError, UnknownVariant
from tests.checkpoints.hub_server import Hub, Repository, serve_hub
from tests.graphs import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture
def package(bare: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(bare, tmp_path / "package"))


@pytest.fixture
def foreign(package: Path) -> Path:
    """The same weights as others lay them out."""
    path = package / "config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "vit_serve"}))
    return package


def configured(package: Path, **changes: Any) -> Located:
    """Where the package is after changes at the top of its configuration, mappings merged."""
    path = package / "config.json"
    document = json.loads(path.read_text())
    for name, value in changes.items():
        document[name] = {**document.get(name, {}), **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(document))
    return locate(str(package))


def test_a_package_is_described_without_its_tensors(bare: Path) -> None:
    located, loaded = locate(str(bare)), load_package(bare)
    assert (located.name, located.directory) == (str(bare), bare)
    assert located.parameters == sum(each.numel() for each in loaded.network.parameters())
    assert located.description is not None
    for name in ("name", "architecture", "labels", "preprocess", "sha256", "temperature", "threshold", "source"):
        assert getattr(located.description, name) == getattr(loaded, name), name


def test_the_same_network_has_the_same_key_wherever_it_lies(bare: Path, package: Path) -> None:
    assert locate(str(bare)).key == locate(str(package)).key


def test_the_embedded_model_is_a_package() -> None:
    located = locate("embedded")
    assert located.name == "embedded"
    assert located.description and located.description.labels == load_model("embedded").labels


def test_other_weights_are_another_key(bare: Path, tmp_path: Path) -> None:
    other = tiny.saved(tmp_path / "other", tiny.network(seed=1))
    assert locate(str(other)).key != locate(str(bare)).key


@pytest.mark.parametrize(
    "change",
    [{"mean": [0.1, 0.2, 0.3]}, {"std": [0.1, 0.2, 0.3]}, {"crop_pct": 0.5}, {"interpolation": "bilinear"}],
    ids=lambda change: next(iter(change)),
)
def test_other_preprocessing_is_another_key(bare: Path, package: Path, change: dict[str, Any]) -> None:
    assert configured(package, pretrained_cfg=change).key != locate(str(bare)).key


def test_another_shape_of_the_same_weights_is_another_key(bare: Path, package: Path) -> None:
    found = configured(package, model_args={"num_heads": 4})
    assert found.description and found.description.sha256 == load_package(bare).sha256
    assert found.key != locate(str(bare)).key


def test_what_the_network_does_not_compute_leaves_the_key(bare: Path, package: Path) -> None:
    before = locate(str(bare)).key
    found = configured(package, label_names=["Katze", "Hund", "Eule"])
    assert found.description and found.description.labels == ("Katze", "Hund", "Eule")
    assert found.key == before
    own = json.loads((package / "config.json").read_text())["vit_serve"]
    found = configured(package, vit_serve={**own, "calibration": {"temperature": 2.5, "threshold": 0.4}})
    assert found.description and found.description.temperature == 2.5
    assert found.key == before
    (package / "README.md").write_text("words")
    assert locate(str(package)).key == before


def test_a_foreign_folder_is_known_by_its_files_only(foreign: Path) -> None:
    located = locate(str(foreign))
    assert (located.directory, located.description, located.parameters) == (None, None, 0)
    (foreign / "README.md").write_text("words")
    assert locate(str(foreign)).key == located.key
    assert locate(str(foreign.parent / "." / foreign.name)).key == located.key
    (foreign / "labels.json").write_text("{}")
    assert locate(str(foreign)).key != located.key


def test_a_foreign_folder_of_another_name_is_another_model(tmp_path: Path) -> None:
    """By "deit" in a name we know how its images are to be prepared."""
    for name in ("vit", "deit"):
        (tmp_path / name).mkdir()
        weights = tiny.network(embed_dim=192, num_heads=3, num_classes=5).state_dict()
        write_tensors(tmp_path / name / "model.safetensors", weights)
    models = [load_model(str(tmp_path / name)) for name in ("vit", "deit")]
    assert models[0].preprocess != models[1].preprocess
    assert locate(str(tmp_path / "vit")).key != locate(str(tmp_path / "deit")).key


def test_a_foreign_file_is_known_by_its_bytes(foreign: Path) -> None:
    weights = foreign / "model.safetensors"
    located = locate(str(weights))
    assert (located.name, located.directory, located.description) == (str(weights), None, None)
    moved = foreign / "elsewhere" / weights.name
    moved.parent.mkdir()
    shutil.copyfile(weights, moved)
    assert locate(str(moved)).key == located.key
    data = bytearray(moved.read_bytes())
    data[-1] ^= 1
    moved.write_bytes(data)
    assert locate(str(moved)).key != located.key


def test_random_weights_are_known_by_their_variant() -> None:
    keys = {locate(f"random:{name}").key for name in ("vit_pico_patch4_32", "vit_tiny_patch16_224")}
    assert len(keys) == 2
    assert locate("random:vit_pico_patch4_32").key in keys


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("nowhere/at/all", PackageError),
        ("embeded", PackageError),
        ("random:vit_gigantic", UnknownVariant),
        ("hf-hub:pico", HubError),
        ("hf_hub:us/pico", PackageError),
    ],
)
def test_nonsense_is_told_as_when_loading(source: str, error: type[SetupError]) -> None:
    with pytest.raises(error) as found:
        locate(source)
    with pytest.raises(error) as loaded:
        load_model(source)
    assert str(found.value) == str(loaded.value)


@pytest.mark.parametrize("spoilt", ["config.json", "model.safetensors"])
def test_a_spoilt_package_is_told_as_when_loading(package: Path, spoilt: str) -> None:
    (package / spoilt).write_bytes(b"{")
    with pytest.raises(PackageError, match=spoilt) as found:
        locate(str(package))
    with pytest.raises(PackageError) as loaded:
        load_model(str(package))
    assert str(found.value) == str(loaded.value)


@pytest.fixture
def hub(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {path.name: path.read_bytes() for path in bare.iterdir() if path.is_file()}
    theirs = {k: v for k, v in json.loads(files["config.json"]).items() if k != "vit_serve"}
    with serve_hub(
        {
            "us/pico": Repository([files, {**files, "new": b""}]),
            "us/timm": Repository([{**files, "config.json": json.dumps(theirs).encode()}]),
        }
    ) as served:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", served.url)
        monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", served.url, raising=False)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        yield served
    close_session()


def test_a_repository_is_pinned_to_its_commit(hub: Hub, bare: Path) -> None:
    located, loaded = locate("hf-hub:us/pico"), load_model("hf-hub:us/pico")
    commit = hub.repositories["us/pico"].commit("main")
    assert located.name == f"hf-hub:us/pico@{commit}"
    assert located.description
    assert (located.description.name, located.description.source) == (loaded.name, located.name)
    assert located.key == locate(str(bare)).key
    hub.requests.clear()
    assert load_model(located.name).source == located.name  # what a child loads is this very commit
    assert not [path for _, path in hub.requests if "us/pico" in path]


def test_a_foreign_repository_is_pinned_too(hub: Hub) -> None:
    located = locate("hf-hub:us/timm")
    assert located.name == f"hf-hub:us/timm@{hub.repositories['us/timm'].commit('main')}"
    assert located.description is None
    assert located.key == locate("hf-hub:us/timm").key


def test_a_model_is_found_without_torch(bare: Path) -> None:
    code = """
import sys
from app.checkpoints.located import locate
for source in sys.argv[1:]:
    locate(source)
assert "torch" not in sys.modules
"""
    sources = ["embedded", "random:vit_pico_patch4_32", str(bare), str(bare / "model.safetensors")]
    done = subprocess.run(
        [sys.executable, "-c", code, *sources],
        cwd=ROOT,
        env=os.environ.copy(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
