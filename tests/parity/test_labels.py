"""ImageNet's synsets, compared with the lists in timm's package; nothing of it is executed."""

import os
from pathlib import Path

import pytest

from app.package.labels.imagenet import imagenet_labels, imagenet_name
from tests.parity.conftest import LIBRARIES

pytestmark = pytest.mark.parity
_FILES = {1000: "imagenet_synsets.txt", 21841: "imagenet22k_synsets.txt", 21843: "imagenet21k_goog_synsets.txt"}


@pytest.fixture
def lists() -> Path:
    folder = LIBRARIES / "timm" / "timm" / "data" / "_info"
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"there is no {folder}: `make parity` installs it")
        pytest.skip(f"there is no {folder}: `make parity` installs it")
    return folder


@pytest.mark.parametrize("count", _FILES)
def test_ids_and_lemmas_are_timms(lists: Path, count: int) -> None:
    labels = imagenet_labels(count)
    assert labels is not None
    assert list(labels.ids) == (lists / _FILES[count]).read_text().split()
    lines = (lists / "imagenet_synset_to_lemma.txt").read_text().splitlines()
    lemmas = dict(line.split("\t") for line in lines)
    assert [imagenet_name(id) for id in labels.ids] == [lemmas[id] for id in labels.ids]
