"""Owns the comparison of scores, from the file to the answer in both engines, with transformers' own pipeline's."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from app.bootstrap import open_classifier
from app.domain import Classification
from app.settings import Settings
from tests.parity.conftest import run_reference
from tests.parity.pipelines import pictures

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]
ACTIVATIONS = {
    **{"unsaid": "softmax", "single": "softmax", "multi": "sigmoid", "one": "sigmoid", "one_multi": "sigmoid"},
    **{"regression": "none", "one_regression": "none"},
}


async def answers(model: Path, engine: str, cache: Path) -> list[Classification]:
    options = {"engine": engine, "precision": "float32", "device": "cpu", "cache_dir": str(cache), "threads": 1}
    async with open_classifier(Settings(model=str(model), **options)) as classifier:  # type: ignore[arg-type]
        await classifier.ready()
        files = []
        for picture in pictures():
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
            files.append(buffer.getvalue())
        return [await classifier.classify(each) for each in files]


@pytest.mark.parametrize("library", ["transformers4", "transformers5"])
def test_scores_are_the_pipelines(library: str, tmp_path: Path) -> None:
    run_reference("make", library, tmp_path, "pipelines.py")
    assert {path.parent.name for path in tmp_path.glob("*/answers.json")} == ACTIVATIONS.keys()
    for name, activation in ACTIVATIONS.items():
        expected = json.loads((tmp_path / name / "answers.json").read_text())
        for engine in ("torch", "openvino"):
            found = asyncio.run(answers(tmp_path / name, engine, tmp_path / "cache"))
            for ours, theirs in zip(found, expected, strict=True):
                assert ours.activation == activation
                assert [p.label for p in ours.predictions] == [each["label"] for each in theirs]
                assert [p.score for p in ours.predictions] == pytest.approx([p["score"] for p in theirs], abs=2e-5)
