"""Owns the comparison of networks served through timm and transformers with what those libraries give themselves."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parity.conftest import run_reference
from tests.parity.libraries import TIMM, TRANSFORMERS

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]
_ACTIVATIONS = {"regression": "none", "one_label": "sigmoid", "multi_label": "sigmoid"}

TIMM_REFUSED = {
    "a tensor less": "there is no tensor for 'stem.0.weight'",
    "a tensor more": "the tensor 'one.more' has no place in the network",
    "another shape": "'head.fc.weight' has shape [5, 320], the network wants [7, 320]",
    "other classes": "timm leaves 'head.fc.weight' as it was drawn",
    "not finite": "values that are no finite numbers",
    "a dead head": "scores all classes the same",
    "no architecture of timm's": "timm cannot build it",
    "a size that it does not take": "does not take images of",
    "a pickle": "could run foreign code",
}
TRANSFORMERS_REFUSED = {
    "a tensor less": "there is no tensor for",
    "another shape": "the shape of 'classifier.weight' is not that of its place",
    "foreign code": "(auto_map), which is never run",
    "a fetched backbone": "use_pretrained_backbone is set",
    "quantised": "quantization_config is set",
    "an adapter": "merge it into them",
    "no preprocessor": "there is no preprocessor_config.json",
    "an unknown processor": "'PerceiverImageProcessor' crops before it resizes",
    "no classifier": "transformers has no classifier of images",
    "a pickle": "could run foreign code",
}


@pytest.fixture(scope="module", params=["timm", "transformers4", "transformers5"])
def library(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        run_reference("make", request.param, Path(folder), script="libraries.py")
        run_reference("serve", request.param, Path(folder), script="served.py")
        yield request.param, Path(folder)


def answer(folder: Path) -> dict[str, Any]:
    """What became of a case."""
    found: dict[str, Any] = json.loads((folder / "answer.json").read_text())
    return found


def softmax(logits: Any) -> Any:
    """Scores of logits (n, classes)."""
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def test_torch_and_openvino_say_what_the_library_says(library: tuple[str, Path]) -> None:
    name, folder = library
    cases = TIMM if name == "timm" else TRANSFORMERS
    for case in cases:
        assert "error" not in answer(folder / case), (case, answer(folder / case))
        expected = np.load(folder / case / "expected.npy")
        assert expected.std() > 0.02, case  # equality of what is constant would prove nothing
        for engine in ("torch", "openvino"):
            logits = np.load(folder / case / f"{engine}.npy")
            assert np.abs(logits - expected).max() < 1e-4, (case, engine)
            assert np.abs(softmax(logits) - softmax(expected)).max() < 1e-5, (case, engine)


def test_how_logits_become_scores_is_what_the_configuration_says(library: tuple[str, Path]) -> None:
    name, folder = library
    for case in () if name == "timm" else TRANSFORMERS:
        assert answer(folder / case)["activation"] == _ACTIVATIONS.get(case, "softmax"), case
        labels = 1000 if case == "pvt" else 1 if case in ("regression", "one_label") else 7
        assert answer(folder / case)["labels"] == labels


def test_what_does_not_fit_is_refused_in_one_line(library: tuple[str, Path]) -> None:
    name, folder = library
    refused = json.loads((folder / "refused.json").read_text())
    assert refused.keys() == (TIMM_REFUSED if name == "timm" else TRANSFORMERS_REFUSED).keys()
    for case, words in (TIMM_REFUSED if name == "timm" else TRANSFORMERS_REFUSED).items():
        assert refused[case].startswith("PackageError: "), (case, refused[case])
        assert words in refused[case], (case, refused[case])
        assert "\n" not in refused[case]
    assert not (folder / "broken" / "ran").exists()  # code that lay in a folder


def test_a_file_of_torch_save_is_read_as_safetensors_are(library: tuple[str, Path]) -> None:
    name, folder = library
    expected = "convnext_atto" if name == "timm" else "ConvNextForImageClassification"
    assert json.loads((folder / "pickled.json").read_text()) == expected


def test_names_of_timm_lead_to_its_repositories(library: tuple[str, Path]) -> None:
    name, folder = library
    if name != "timm":
        return
    found = json.loads((folder / "names.json").read_text())
    assert found["resnet50"] == found["resnet50.a1_in1k"]  # what it takes where no tag is given
    assert found["resnet50"]["repository"] == "timm/resnet50.a1_in1k"
    assert found["resnet50.nope"] is None and found["nothing"] is None
    assert found["cspnext_l"]["repository"] == "munehiro-k/cspnext_l.rsb_a1_in1k"
    assert found["gcvit_base"]["repository"] is None and found["gcvit_base"]["url"].startswith("https://")
