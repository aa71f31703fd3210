"""Owns one picture's answer as a row of a table, the same wherever it was made; does not write any."""

from typing import Any

from app.bulk.answers import Failure
from app.bulk.images import Image
from app.domain import Classification


def row_of(image: Image, outcome: Classification | Failure) -> dict[str, Any]:
    """Fields as those of `app.bulk.row_table.SCHEMA`."""
    row = {"id": image.id, "source": image.source, "member": image.member, "row": image.row}
    if isinstance(outcome, Failure):
        return row | {"predictions": None, "confidence": None, "code": outcome.code, "error": outcome.error}
    found = [{"label": p.label, "index": p.index, "score": p.score, "id": p.id} for p in outcome.predictions]
    return row | {"predictions": found, "confidence": outcome.confidence, "code": None, "error": None}
