"""Downloads from a hub of our own on 127.0.0.1; the cache is a folder of the test's."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from huggingface_hub import close_session
from safetensors.torch import save

from app.checkpoints.export import export_package
from app.checkpoints.hub import download
from app.checkpoints.own import ModelPackage, load_package, save_package
from app.checkpoints.sources import load_model
from app.cli.main import main
from app.domain import PreprocessSpec
from app.errors import HubError, PackageError
from app.network.vit import VisionTransformer
from app.package.variants import variant
from tests.checkpoints.hub_server import Hub, Repository, serve_hub

NAME = "vit_pico_patch4_32"
WEIGHTS = bytes(range(256)) * 2000  # above what is stored in the repository itself
FILES = {"config.json": b"{}", "preprocessor_config.json": b"{ }", "README.md": b"words", "training.log": b"more words"}


def repositories(package: Path) -> dict[str, Repository]:
    files = {path.name: path.read_bytes() for path in package.iterdir() if path.is_file()}
    timms = {name: value for name, value in json.loads(files["config.json"]).items() if name != "vit_serve"}
    shards = {f"model-0000{i}-of-00002.safetensors": save({str(i): torch.zeros(500)}) for i in (1, 2)}
    index = b'{"weight_map": {"1": "model-00001-of-00002.safetensors", "2": "model-00002-of-00002.safetensors"}}'
    return {
        "us/pico": Repository([{**files, "pytorch_model.bin": WEIGHTS, "big.onnx": WEIGHTS}, {**files, "new": b""}]),
        "us/timm": Repository([{**files, "config.json": json.dumps(timms).encode()}]),
        "us/hf-vit": Repository([{path.name: path.read_bytes() for path in (package / "hf").iterdir()}]),
        "us/both": Repository([{**FILES, "model.safetensors": WEIGHTS, "pytorch_model.bin": WEIGHTS}]),
        "us/pickle": Repository([{**FILES, "pytorch_model.bin": WEIGHTS}]),
        "us/sharded": Repository([{**FILES, "model.safetensors.index.json": index, **shards}]),
        "us/lacking": Repository([{**FILES, "model.safetensors.index.json": index}]),
        "us/broken": Repository([{**FILES, "model.safetensors.index.json": b"[]"}]),
        "us/one": Repository([{"README.md": b"", "best.ckpt": WEIGHTS, "optimizer.pt": WEIGHTS}]),
        "us/adapter": Repository([{"adapter_config.json": b"{}", "adapter_model.safetensors": WEIGHTS}]),
        "us/words": Repository([FILES]),
        "us/gated": Repository([{**FILES, "model.safetensors": WEIGHTS}], token="secret", gated=True),
        "us/private": Repository([{**FILES, "model.safetensors": WEIGHTS}], token="secret"),
    }


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    network = VisionTransformer(variant(NAME))
    network.init_weights()
    labels = tuple(f"label {i}" for i in range(10))
    spec = PreprocessSpec(32, 32, "bilinear", 1.0, "squash", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    save_package(
        folder,
        ModelPackage(
            name=f"{NAME}.test", architecture=NAME, network=network, labels=labels, preprocess=spec, sha256=None
        ),
    )
    export_package(folder, "hf", folder / "hf")
    return folder


@pytest.fixture
def hub(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve_hub(repositories(package)) as served:
        point_to(served.url, tmp_path, monkeypatch)
        yield served
    close_session()


def point_to(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library took from the environment when it was imported."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", url, raising=False)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(cache / "token"))


def refused(reference: str, *words: str) -> None:
    with pytest.raises(HubError) as caught:
        download(reference)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_package_is_fetched_once_and_says_its_commit(hub: Hub) -> None:
    commit = hub.repositories["us/pico"].commit("main")
    package = load_model("hf-hub:us/pico")
    assert package.source == f"hf-hub:us/pico@{commit}"
    assert package.name == f"{NAME}.test"
    assert hub.fetched() == ["config.json", "model.safetensors"]
    hub.requests.clear()
    load_model("hf-hub:us/pico")
    assert hub.fetched() == []


def test_the_commit_stays_with_a_package_that_is_saved(hub: Hub, tmp_path: Path) -> None:
    package = load_model("hf-hub:us/pico")
    save_package(tmp_path / "saved", package)
    assert load_package(tmp_path / "saved").source == package.source


@pytest.mark.parametrize(("repository", "name"), [("us/timm", f"{NAME}.test"), ("us/hf-vit", f"{NAME}.hf-vit")])
def test_other_libraries_layouts_give_the_same_model(hub: Hub, package: Path, repository: str, name: str) -> None:
    ours, theirs = load_package(package), load_model(f"hf-hub:{repository}")
    assert (theirs.name, theirs.labels, theirs.preprocess) == (name, ours.labels, ours.preprocess)
    assert theirs.source == f"hf-hub:{repository}@{hub.repositories[repository].commit('main')}"
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(theirs.network(x), ours.network(x), rtol=0, atol=1e-5)


def test_convert_takes_a_repository(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "hf-hub:us/hf-vit", str(tmp_path / "made")]) == 0
    made = load_model(str(tmp_path / "made"))
    assert made.name == f"{NAME}.hf-vit"
    assert made.source == f"hf-hub:us/hf-vit@{hub.repositories['us/hf-vit'].commit('main')}"
    assert main(["convert", "hf-hub:us/nothing", str(tmp_path / "never")]) == 1
    assert "no such repository" in capsys.readouterr().err


def test_a_commit_is_a_pin(hub: Hub) -> None:
    first = hub.repositories["us/pico"].hashes[0]
    assert load_model(f"hf-hub:us/pico@{first}").source == f"hf-hub:us/pico@{first}"
    hub.requests.clear()
    load_model(f"hf-hub:us/pico@{first}")
    assert [path for _, path in hub.requests if "us/pico" in path] == []


def test_a_branch_moves(hub: Hub) -> None:
    repository = hub.repositories["us/both"]
    before = download("us/both").source
    repository.commits.append({**repository.commits[0], "extra": b""})
    assert download("us/both").source == f"hf-hub:us/both@{repository.commit('main')}" != before


def test_safetensors_go_before_pickles(hub: Hub) -> None:
    snapshot = download("us/both")
    assert hub.fetched() == ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert (snapshot.path / "model.safetensors").read_bytes() == WEIGHTS
    assert not (snapshot.path / "pytorch_model.bin").exists()
    assert (download("us/pickle").path / "pytorch_model.bin").read_bytes() == WEIGHTS


def test_the_only_file_of_weights_may_have_any_name(hub: Hub) -> None:
    assert (download("us/one").path / "best.ckpt").read_bytes() == WEIGHTS
    assert "optimizer.pt" not in hub.fetched()


def test_shards(hub: Hub) -> None:
    snapshot = download("us/sharded")
    assert sorted(path.name for path in snapshot.path.glob("*.safetensors")) == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]


@pytest.mark.parametrize(
    ("repository", "file"), [("us/sharded", "model-00002-of-00002.safetensors"), ("us/hf-vit", "model.safetensors")]
)
def test_what_was_damaged_in_the_cache_is_not_served(hub: Hub, repository: str, file: str) -> None:
    path = download(repository).path / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.resolve().write_bytes(content)
    with pytest.raises(PackageError, match=rf"{file}: the name says .*the download is broken"):
        load_model(f"hf-hub:{repository}")


def test_what_cannot_be_had_is_said_in_one_line(hub: Hub) -> None:
    refused("us/nothing", "us/nothing", "no such repository", "HF_TOKEN", "hf auth login")
    refused("us/private", "private", "HF_TOKEN", "hf auth login")
    refused("us/gated", "gated", "terms", "HF_TOKEN", "hf auth login")
    refused("us/adapter", "LoRA", "without its base network")
    refused("us/pico@v9", "v9")
    refused("us/words", "neither model.safetensors nor pytorch_model.bin", "training.log")
    refused("us/lacking", "model-00001-of-00002.safetensors")
    refused("us/broken", "index.json", "not a JSON object")


@pytest.mark.parametrize(
    "reference", ["", "pico", "us/pico@", "a/b/c", "us/../pico", "us/pi co", "us/--", "us/--@" + 40 * "a"]
)
def test_a_name_that_is_none(hub: Hub, reference: str) -> None:
    refused(reference)
    assert not [path for _, path in hub.requests if "resolve" in path]


def test_a_token_opens(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    for name in ("us/gated", "us/private"):
        assert (download(name).path / "model.safetensors").read_bytes() == WEIGHTS


def test_a_connection_that_breaks_is_taken_up_again(hub: Hub) -> None:
    hub.cut_after_bytes = 1000
    assert (download("us/both").path / "model.safetensors").read_bytes() == WEIGHTS


def test_a_full_disk_is_named_and_the_download_finished_later(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.file_download.http_get", full)
        refused("us/both", "disk is full", "HF_HOME")
    assert (download("us/both").path / "model.safetensors").read_bytes() == WEIGHTS


def test_damage_in_the_cache_is_noticed(hub: Hub, package: Path) -> None:
    weights = download("us/pico").path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.resolve().write_bytes(data)
    with pytest.raises((HubError, PackageError)):
        load_model("hf-hub:us/pico")


def test_what_was_never_fetched_is_not_to_be_had_without_the_hub(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_hub(repositories(package)) as hub:
        point_to(hub.url, tmp_path, monkeypatch)
    refused("us/both", "not (wholly) in the cache", "refused")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refused("us/both", "not (wholly) in the cache", "offline")


def in_a_process(*names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`download` of each name where the library reads its environment by itself."""
    code = (
        "import sys; from app.checkpoints.hub import download; [print(download(name).source) for name in sys.argv[1:]]"
    )
    root = Path(__file__).parents[2]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-c", code, *names],
        env={**clean, **environment},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_environment_is_honoured_and_the_cache_suffices(package: Path, tmp_path: Path) -> None:
    with serve_hub(repositories(package)) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        online = in_a_process("us/both", "us/gated", **environment, HF_TOKEN="secret")
        assert online.returncode == 0, online.stderr
        assert online.stderr == ""  # no bar where there is no terminal
    assert "Bearer secret" in hub.tokens
    assert list((tmp_path / "home" / "hub").glob("models--us--both"))
    for more in ({}, {"HF_HUB_OFFLINE": "1"}):
        offline = in_a_process("us/both", "us/gated", **environment, **more)
        assert offline.stdout == online.stdout, offline.stderr


def test_a_proxy_is_honoured(package: Path, tmp_path: Path) -> None:
    with serve_hub(repositories(package)) as hub:  # which, asked as a proxy, is given the whole address
        answer = in_a_process(
            "us/both", HF_ENDPOINT="http://hub.invalid", HF_HOME=str(tmp_path / "home"), HTTP_PROXY=hub.url, NO_PROXY=""
        )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("hf-hub:us/both@")
