"""Owns the tiny model package and the pictures that the commands are tried on; does not test."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.checkpoints.own import ModelPackage, save_package
from app.domain import PreprocessSpec
from app.network.vit import VisionTransformer
from app.package.variants import variant
from tests.training.pictures import stripe_files, write_files

ROOT = Path(__file__).parents[2]
LABELS = ("cat", "dog", "owl")
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options come from the test alone."""
    for name in list(os.environ):
        if name.upper().startswith("VIT_") and name != "VIT_CACHE_DIR":  # which is not the user's
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model package with random weights, one layer and three classes."""
    shape = replace(variant("vit_pico_patch4_32"), depth=1, embed_dim=16, num_heads=2, num_classes=3)
    network = VisionTransformer(shape)
    torch.manual_seed(0)
    network.init_weights()
    folder = tmp_path_factory.mktemp("package")
    spec = PreprocessSpec(32, 32, crop_pct=1.0)
    name = "vit_pico_patch4_32"
    save_package(
        folder,
        ModelPackage(
            name=f"{name}.test", architecture=name, network=network, labels=LABELS, preprocess=spec, sha256=None
        ),
    )
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six PNG files in two folders, and a file that is no picture."""
    return write_files(tmp_path / "pictures", {**stripe_files(6), "notes.txt": b"not a picture"})


@pytest.fixture
def vit_serve() -> Command:
    """Runs the command line in a process of its own."""

    def run(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "app", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "VIT_ENGINE": "torch", **environment},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    return run
