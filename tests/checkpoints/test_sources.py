import errno
import json
from pathlib import Path

import pytest
import torch

from app.checkpoints.sources import load_model
from app.errors import HubError, PackageError
from tests.checkpoints.networks import KINDS, saved


def test_a_package_and_the_same_weights_without_our_notes(tmp_path: Path) -> None:
    network = saved(tmp_path, KINDS["plain"])
    own = load_model(str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    del config["vit_serve"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    foreign = load_model(str(tmp_path))
    for name, tensor in network.state_dict().items():
        assert torch.equal(own.network.state_dict()[name], tensor)
        assert torch.equal(foreign.network.state_dict()[name], tensor)
    assert (foreign.labels, foreign.sha256, foreign.source) == (own.labels, own.sha256, None)


def test_a_bare_file(tmp_path: Path) -> None:
    network = saved(tmp_path, KINDS["plain"])
    (tmp_path / "model.safetensors").rename(tmp_path / "bare.safetensors")
    package = load_model(str(tmp_path / "bare.safetensors"))
    assert package.labels == tuple(f"class_{i}" for i in range(5))
    assert package.network.config.embed_dim == network.config.embed_dim


@pytest.mark.parametrize("source", ["nowhere/at/all", "", "hf_hub:us/pico", "embeded"])
def test_what_is_nothing_is_told_what_there_is(source: str) -> None:
    with pytest.raises(PackageError, match=r"embedded.*random.*hf-hub|cannot|no weights|model"):
        load_model(source)


def test_a_repository_that_is_not_named_rightly() -> None:
    with pytest.raises(HubError, match="owner/name"):
        load_model("hf-hub:pico")


def test_a_folder_that_may_not_be_entered_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> None:  # permissions mean nothing to root
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(PackageError, match="cannot be read: Permission denied"):
        load_model(str(tmp_path / "model"))
