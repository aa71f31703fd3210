"""Owns the proof that what brings a model into a pod brings it, whole and as named; asks no hub and no bucket."""

import hashlib
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.deploy.manifests import Document, built, container, environment, pod

MODELS = ("model-from-hub", "model-from-image", "model-from-s3")
# In place of rclone, which asks the bucket: `rclone copyto SOURCE TARGET`.
COPY = '#!/bin/sh\ntest "$1" = copyto && cp "$FOLDER/${2##*/}" "$3"\n'


def init_container(name: str) -> Document:
    (only,) = pod(built(name))["initContainers"]
    assert isinstance(only, dict)
    return only


def run(name: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The init container's command, with /model and /models in `folder`, and programs in its `bin` before others."""
    each = init_container(name)
    command = [re.sub(r"(?<![\w/])/model(?=s?\b)", f"{folder}/model", part) for part in each["command"]]
    path = f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {**environment(each), "FOLDER": str(folder), **variables, "PATH": path}
    (folder / "models").mkdir(exist_ok=True)
    return subprocess.run(
        command, env={**os.environ, **own}, cwd=folder, capture_output=True, text=True, timeout=50, check=False
    )


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """A folder with `flowers.tar`, a package of two files, and an `rclone` that fetches from it."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "config.json").write_text("{}")
    (package / "model.safetensors").write_bytes(os.urandom(1000))
    with tarfile.open(tmp_path / "flowers.tar", "w") as tar:
        tar.add(package, ".")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/rclone").write_text(COPY)
    (tmp_path / "bin/rclone").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("name", MODELS)
def test_what_is_brought_is_what_is_served_and_is_only_read(name: str) -> None:
    served = environment(container(built(name)))["VIT_MODEL"]
    each, serving = init_container(name), container(built(name))
    assert served in " ".join(each["command"])
    writes = {mount["name"]: mount for mount in each["volumeMounts"] if not mount.get("readOnly")}
    reads = {mount["name"]: mount for mount in serving["volumeMounts"]}
    assert reads["models"]["readOnly"] and writes["models"]["mountPath"] == reads["models"]["mountPath"]
    assert Path(served).parent == Path(reads["models"]["mountPath"])
    volumes = {volume["name"] for volume in pod(built(name))["volumes"]}
    assert {*writes, *reads} <= volumes


def test_what_was_fetched_from_a_hub_outlives_the_pod() -> None:
    each = init_container("model-from-hub")
    (mount,) = (mount for mount in each["volumeMounts"] if mount["name"] == "hub")
    assert environment(each)["HF_HOME"].startswith(mount["mountPath"] + "/")
    (volume,) = (volume for volume in pod(built("model-from-hub"))["volumes"] if volume["name"] == "hub")
    assert "persistentVolumeClaim" in volume
    assert pod(built("model-from-hub"))["securityContext"]["fsGroup"] == 10001
    (token,) = (entry for entry in each["env"] if entry["name"] == "HF_TOKEN")
    assert token["valueFrom"]["secretKeyRef"]["optional"] is True


@pytest.mark.operations
def test_the_model_of_a_hub_is_built_once(tmp_path: Path) -> None:
    """With the embedded model: fetching from a hub has tests of its own."""
    first = run("model-from-hub", tmp_path, MODEL="embedded")
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "models/served/config.json").exists() and (tmp_path / "models/served/openvino").is_dir()
    again = run("model-from-hub", tmp_path, MODEL="a model that there is not")
    assert again.returncode == 0 and not again.stdout


@pytest.mark.operations
def test_a_model_that_cannot_be_had_keeps_the_pod_from_starting(tmp_path: Path) -> None:
    done = run("model-from-hub", tmp_path, MODEL="/nowhere")
    assert done.returncode != 0 and "/nowhere" in done.stderr
    assert not (tmp_path / "models/served").exists()


def test_a_model_in_an_image_is_copied_also_twice(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    for _ in range(2):
        assert run("model-from-image", tmp_path).returncode == 0
        assert [path.name for path in (tmp_path / "models/served").iterdir()] == ["config.json"]


def test_a_model_of_a_bucket_with_the_right_digest_is_unpacked_once(bucket: Path) -> None:
    digest = hashlib.sha256((bucket / "flowers.tar").read_bytes()).hexdigest()
    (bucket / "models/unpacked").mkdir(parents=True)  # left by a start that was interrupted
    for _ in range(2):
        done = run("model-from-s3", bucket, SHA256=digest)
        assert done.returncode == 0, done.stderr
        (bucket / "flowers.tar").unlink(missing_ok=True)  # the second time nothing is fetched
    weights = (bucket / "models/served/model.safetensors").read_bytes()
    assert weights == (bucket / "package/model.safetensors").read_bytes()
    assert [path.name for path in (bucket / "models").iterdir()] == ["served"]


@pytest.mark.parametrize("digest", ["0" * 64, "", "not a digest"])
def test_a_model_of_a_bucket_with_another_digest_is_not_served(bucket: Path, digest: str) -> None:
    done = run("model-from-s3", bucket, SHA256=digest)
    assert done.returncode != 0
    assert "flowers.tar" not in done.stdout and not (bucket / "models/served").exists()


def test_the_component_names_no_digest_so_that_it_cannot_be_forgotten() -> None:
    (each,) = pod(built("component model-from-s3"))["initContainers"]
    assert environment(each)["SHA256"] == ""
