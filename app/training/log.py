"""Owns log.csv, one row an epoch; does not measure or draw."""

import csv
from pathlib import Path
from typing import Final

from app.package.whole import written_whole
from app.training.loop import EpochReport

LOG_NAME: Final = "log.csv"
_COLUMNS: Final = ("epoch", "train_loss", "validation_loss", "validation_accuracy", "learning_rate", "images_per_s")


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows by column; none where there is no file. Those of older versions lack `learning_rate`."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if (row.get("epoch") or "").isdecimal()]


def write_log(path: Path, report: EpochReport) -> None:
    """Adds a row; rows of this epoch or later ones, left by a run whose checkpoint is gone, are dropped."""
    row = {
        "epoch": f"{report.epoch}",
        "train_loss": f"{report.train_loss:.4f}",
        "validation_loss": f"{report.validation_loss:.4f}",
        "validation_accuracy": f"{report.validation_accuracy:.4f}",
        "learning_rate": f"{report.learning_rate:.4g}",
        "images_per_s": f"{report.images_per_s:.0f}",
    }
    rows = [*(earlier for earlier in read_log(path) if int(earlier["epoch"]) < report.epoch), row]
    with written_whole(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
