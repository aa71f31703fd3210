"""Owns the comparison of networks of one to five input channels with timm's and transformers'."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from app.bootstrap import open_classifier
from app.checkpoints.own import load_package, save_package
from app.checkpoints.sources import load_servable
from app.errors import PackageError
from app.settings import Settings
from tests.parity.channels import NUMBERS, pictures
from tests.parity.compare import assert_same_logits, converted
from tests.parity.conftest import run_reference

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]


async def scores(model: Path, engine: str, cache: Path) -> list[list[float]]:
    options = {"engine": engine, "precision": "float32", "device": "cpu", "cache_dir": str(cache), "threads": 1}
    async with open_classifier(Settings(model=str(model), **options)) as classifier:  # type: ignore[arg-type]
        await classifier.ready()
        found = []
        for picture in pictures():
            picture.save(buffer := io.BytesIO(), "PNG")
            answer = await classifier.classify(buffer.getvalue())
            found.append([each.score for each in sorted(answer.predictions, key=lambda each: each.index)])
        return found


@pytest.mark.parametrize("library", ["timm", "transformers4", "transformers5"])
def test_logits_and_scores_are_the_librarys(library: str, tmp_path: Path) -> None:
    run_reference("make", library, tmp_path, "channels.py")
    for name in (*map(str, NUMBERS), *(["hybrid"] if library == "timm" else [])):
        result = converted(tmp_path / name)
        assert not [remark for remark in result.remarks if remark.startswith("assumed")], name
        save_package(tmp_path / "ours" / name, result.package)
        assert_same_logits(load_package(tmp_path / "ours" / name).network, tmp_path / name)
        if name in ("1", "hybrid"):
            expected = json.loads((tmp_path / name / "scores.json").read_text())
            for engine in ("torch", "openvino"):
                found = asyncio.run(scores(tmp_path / name, engine, tmp_path / "cache"))
                for ours, theirs in zip(found, expected, strict=True):
                    assert ours == pytest.approx(theirs, abs=2e-3)  # pixels off by one
        else:
            with pytest.raises(PackageError, match=f"images of {name} channels"):
                load_servable(str(tmp_path / name))
