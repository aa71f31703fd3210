"""What shrinking a telephone's photograph while it is decoded saves, and what it changes in pixels and answers."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from app.domain import PreprocessSpec
from app.engine.choose import open_model
from app.graphs.folder import Pixels
from app.imaging.resample import preprocess
from app.settings import Settings
from tests.benchmark.bare import limits_of, wish_of
from tests.benchmark.load import Target
from tests.benchmark.measured import bare_decode
from tests.benchmark.options import embedded_model, seconds
from tests.benchmark.photographs import enlarge
from tests.benchmark.report import Report, verdict

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300 + 10 * seconds())]

_SIZE_PX: Final = (4000, 3000)
_AGREEMENT: Final = 0.995
_MODES: Final = ("scaled", "exact")


def test_scaled_decoding_beside_exact(photographs: Target, report: Report, tmp_path: Path) -> None:
    model, remark = embedded_model()
    number = enlarge(photographs.folder, tmp_path, _SIZE_PX)
    opened = open_model(model, wish_of(Settings()))
    pixels = {mode: _decoded(tmp_path, opened.description.preprocess, mode) for mode in _MODES}
    best: dict[str, list[int]] = {}
    for mode in _MODES:
        [runner, *_] = opened.runners(pixels[mode])
        best[mode] = [runner.run([slot], [1], True)[0].indices[0] for slot in range(number)]
    figures: dict[str, Any] = {
        mode: list(bare_decode(model, Target(0, tmp_path, number), {"VIT_DECODE": mode}).values())[-1]
        for mode in _MODES
    }
    difference = float(np.abs(pixels["scaled"].astype(int) - pixels["exact"]).mean())
    agreement = float(np.mean(np.equal(best["scaled"], best["exact"])))
    table = report.table(f"Decoding photographs of {_SIZE_PX[0] * _SIZE_PX[1] / 1e6:.0f} megapixels for {model}")
    for mode in _MODES:
        first = mode == "scaled"
        table.row(
            VIT_DECODE=mode,
            decode_ms=figures[mode]["cpu_ms"],
            images__s_on_all_cores=figures[mode]["images_per_s"],
            difference_of_255=difference if first else None,
            same_class_first=f"{agreement:.1%}" if first else None,
            verdict=verdict(agreement, _AGREEMENT, at_most=False) if first else None,
        )
    size = np.mean([path.stat().st_size for path in tmp_path.glob("*.jpg")]) / 1e6
    table.note(f"{number} photographs of {size:.1f} MB on average, enlarged; milliseconds of a core, all cores busy.")
    if remark:
        table.note(remark)
    report.record("large_photographs", {"decode": figures, "difference": difference, "agreement": agreement})
    assert all(each["images_per_s"] > 0 for each in figures.values())


def _decoded(folder: Path, spec: PreprocessSpec, mode: str) -> Pixels:
    limits = limits_of(Settings.model_validate({"decode": mode}))
    files = sorted(folder.glob("*.jpg"))
    pixels = np.empty((len(files), spec.height, spec.width, 3), np.uint8)
    for path, out in zip(files, pixels, strict=True):
        preprocess(path.read_bytes(), spec, limits, out)
    return pixels
