"""Owns the JSON form of an explanation; does not compute it."""

import json
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.api.answer import predictions_document, timing_document
from app.domain import Explanation

_DIGITS: Final = 6
Numbers = npt.NDArray[np.float32]


def map_of(answer: Explanation, head: int | None) -> Numbers:
    """(rows, columns): of one head, or the mean over all maps."""
    found: Numbers = answer.maps.mean(axis=0) if head is None else answer.maps[head]
    return found


def explanation_document(answer: Explanation, head: int | None) -> dict[str, Any]:
    """What is said of one image."""
    maps = {name: _numbers(each) for name, each in _maps(answer, head).items()}
    return {**_without_maps(answer, head), **maps}


def explanation_text(answer: Explanation, head: int | None, **more: Any) -> str:
    """The same as JSON, written map by map: within one call the interpreter lets no other thread run.

    `more`: what the request adds.
    """
    text = json.dumps({**_without_maps(answer, head), **more}, ensure_ascii=False)[:-1]
    for name, each in _maps(answer, head).items():
        text += f', "{name}": {_text(each)}'
    return text + "}"


def _without_maps(answer: Explanation, head: int | None) -> dict[str, Any]:
    rows, columns = answer.maps.shape[1:]
    chosen = {"layer": answer.layer, "head": head, "class": answer.index}
    return {
        "model": answer.model,
        "method": answer.method,
        **{name: value for name, value in chosen.items() if value is not None},
        "rows": rows,
        "columns": columns,
        "activation": answer.activation,
        "predictions": predictions_document(answer.predictions),
        "timing_ms": timing_document(answer.timing),
        "batch_size": answer.batch_size,
    }


def _maps(answer: Explanation, head: int | None) -> dict[str, Numbers]:
    every = {"heads": answer.maps} if answer.method == "attention" and head is None else {}
    return {"grid": map_of(answer, head), **every}


def _numbers(values: Numbers) -> list[Any]:
    found: list[Any] = values.astype(np.float64).round(_DIGITS).tolist()
    return found


def _text(values: Numbers) -> str:
    """A JSON list, of a list of maps one after the other."""
    return f"[{', '.join(map(_text, values))}]" if values.ndim == 3 else json.dumps(_numbers(values))
