"""Owns how an evaluation is written: tables for people, JSON for programs, pictures; does not measure."""

from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, Final

from app.cli.results import write_json_value, write_rows
from app.errors import SetupError
from app.training.markdown import percent
from app.training.measure import Measures, OutOfScope

_CONFUSIONS: Final = 10


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One model on one set of images; `failures` are files without an answer, and why."""

    model: str
    measures: Measures
    out_of_scope: OutOfScope | None
    images_per_s: float
    failures: tuple[tuple[str, str], ...]


def write_report(evaluated: Evaluated, *, as_json: bool) -> None:
    """Everything to stdout."""
    if as_json:
        write_json_value(document(evaluated))
        return
    measures = evaluated.measures
    rows = [
        ("model", evaluated.model),
        ("images", f"{measures.images:,}"),
        ("top-1", percent(measures.top1)),
        ("top-5", percent(measures.top5)),
        ("mean over classes", percent(measures.mean_over_classes)),
        ("calibration error", f"{measures.calibration_error:.4f}"),
        ("log loss", "–" if measures.log_loss is None else f"{measures.log_loss:.4f}"),
        ("answered with high confidence", percent(measures.sure_share)),
        ("of these right", percent(measures.sure_precision)),
        ("images/s", f"{evaluated.images_per_s:.0f}"),
    ]
    if beyond := evaluated.out_of_scope:
        rows.append((f"high confidence among {beyond.images:,} images of no class", percent(beyond.sure_share)))
    write_rows(("", ""), rows, numbers=("",))
    classes = [
        (c.label, f"{c.images:,}", percent(c.recall) if c.images else "–", percent(c.precision))
        for c in measures.classes
    ]
    write_rows(("class", "images", "found", "right"), classes, numbers=("images", "found", "right"))
    mistakes = [(shown, answered, str(images)) for shown, answered, images in measures.confusions[:_CONFUSIONS]]
    if mistakes:
        write_rows(("shown", "answered", "images"), mistakes, numbers=("images",))


def document(evaluated: Evaluated) -> dict[str, Any]:
    """The keys of `--json`; shares are 0 … 1. They are stable: none is renamed or changes its meaning."""
    measures, beyond = evaluated.measures, evaluated.out_of_scope
    return {
        "model": evaluated.model,
        "images": measures.images,
        "top1": measures.top1,
        "top5": measures.top5,
        "mean_over_classes": measures.mean_over_classes,
        "calibration_error": measures.calibration_error,
        "log_loss": measures.log_loss,
        "high_confidence": {"share": measures.sure_share, "precision": measures.sure_precision},
        "images_per_s": round(evaluated.images_per_s, 1),
        "classes": [
            {"label": c.label, "images": c.images, "found": c.recall if c.images else None, "right": c.precision}
            for c in measures.classes
        ],
        "reliability": [asdict(each) for each in measures.bins],
        "confusions": [
            {"shown": shown, "answered": answered, "images": images} for shown, answered, images in measures.confusions
        ],
        "out_of_scope": beyond
        and {
            "images": beyond.images,
            "high_confidence": beyond.sure_share,
            "mean_score": beyond.mean_score,
            "answers": dict(beyond.answers),
        },
        "failures": [{"path": path, "error": error} for path, error in evaluated.failures],
    }


def write_pictures(evaluated: Evaluated, folder: Path) -> None:
    """confusion.png and reliability.png. Raises SetupError if the folder cannot be written to."""
    from app.insight import charts

    measures = evaluated.measures
    labels = [each.label for each in measures.classes]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "confusion.png").write_bytes(charts.confusion_matrix(measures.counts(), labels))
        bins = [astuple(each) for each in measures.bins]
        diagram = charts.reliability_diagram(bins, measures.calibration_error, None)
        (folder / "reliability.png").write_bytes(diagram)
    except OSError as error:
        raise SetupError(f"{folder}: cannot be written to: {error}") from error
