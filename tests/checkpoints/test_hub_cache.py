"""Downloads by others: what transformers or an older huggingface_hub left in the cache is served without a network."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from huggingface_hub import close_session, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import save

from app.checkpoints.hub import download
from app.checkpoints.sources import load_model
from app.cli.main import main
from app.errors import HubError
from tests.checkpoints.hub_server import Repository, serve_hub
from tests.checkpoints.networks import KINDS, drawn
from tests.checkpoints.test_hub import point_to

TIMMS = {
    "architecture": "vit_base_patch16_224",
    "num_classes": 5,
    "model_args": {"img_size": 32, "num_heads": 4},
    "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3},
    "label_names": list("abcde"),
}
SHARD = save({"a": torch.zeros(500)})
INDEX = b'{"weight_map": {"a": "model-00001-of-00001.safetensors"}}'


def repositories() -> dict[str, Repository]:
    weights = save(dict(drawn(KINDS["plain"]).state_dict()))
    timms = {"config.json": json.dumps(TIMMS).encode(), "model.safetensors": weights, "README.md": b"words"}
    return {
        "us/timm": Repository([timms, {**timms, "new": b""}]),
        "us/hf": Repository([{"config.json": b'{"model_type": "vit"}', "model.safetensors": weights}]),
        "us/sharded": Repository([{"model.safetensors.index.json": INDEX, "model-00001-of-00001.safetensors": SHARD}]),
    }


Filled = Callable[..., str]


@pytest.fixture(params=["offline", "unreachable"])
def filled(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filled]:
    """Fetches single files as transformers does, which lists nothing, and ends the network; gives the commit."""

    def fill(repository: str, *files: str, revision: str | None = None) -> str:
        with serve_hub(repositories()) as hub:
            point_to(hub.url, tmp_path, monkeypatch)
            for file in files:
                try:
                    hf_hub_download(repository, file, revision=revision)
                except EntryNotFoundError:
                    continue  # which it keeps in mind
            commit = hub.repositories[repository].commit(revision or "main")
        close_session()
        assert commit
        assert not list((tmp_path / "cache").rglob("trees/*"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", request.param == "offline")
        return commit

    yield fill
    close_session()


def test_what_another_library_fetched_is_served(filled: Filled, caplog: pytest.LogCaptureFixture) -> None:
    commit = filled("us/timm", "config.json", "model.safetensors")
    with caplog.at_level(logging.WARNING, "app.checkpoints.hub"):
        package = load_model("hf-hub:us/timm")
    assert package.source == f"hf-hub:us/timm@{commit}"
    assert package.labels == tuple("abcde")
    assert not caplog.records
    assert load_model(f"hf-hub:us/timm@{commit}").source == package.source


def test_a_commit_that_another_library_fetched_is_served(filled: Filled) -> None:
    first = repositories()["us/timm"].hashes[0]
    filled("us/timm", "config.json", "model.safetensors", revision=first)
    assert load_model(f"hf-hub:us/timm@{first}").source == f"hf-hub:us/timm@{first}"
    with pytest.raises(HubError, match="not .wholly. in the cache"):
        download("us/timm")  # of the branch nothing was fetched


def test_shards_that_another_library_fetched_are_served(filled: Filled) -> None:
    filled("us/sharded", "model.safetensors.index.json", "model-00001-of-00001.safetensors")
    assert (download("us/sharded").path / "model-00001-of-00001.safetensors").is_file()


@pytest.mark.parametrize(
    ("repository", "files", "words"),
    [
        ("us/timm", ("config.json",), "the cache, without the hub, holds neither model.safetensors"),
        ("us/sharded", ("model.safetensors.index.json",), "the cache, without the hub, lacks 'model-00001"),
    ],
)
def test_what_is_not_in_the_cache_is_said(filled: Filled, repository: str, files: tuple[str, ...], words: str) -> None:
    filled(repository, *files)
    with pytest.raises(HubError, match=words):
        download(repository)


@pytest.mark.parametrize("asked", [True, False])
def test_a_description_that_may_be_missing_is_said(
    filled: Filled, asked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    filled("us/hf", "config.json", "model.safetensors", *(["preprocessor_config.json"] if asked else []))
    with caplog.at_level(logging.WARNING, "app.checkpoints.hub"):
        download("us/hf")
    assert ("preprocessor_config.json is not in the cache" in caplog.text) is not asked


def test_a_broken_description_is_one_line(filled: Filled, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    filled("us/hf", "config.json", "model.safetensors")
    next((tmp_path / "cache").rglob("config.json")).resolve().write_bytes(b"[")
    assert main(["convert", "hf-hub:us/hf", str(tmp_path / "made")]) == 1
    assert "not a JSON object" in capsys.readouterr().err
