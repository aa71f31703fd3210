"""Owns the best classes of logits on a CPU, by numpy; does not know where logits come from."""

from collections.abc import Sequence

import numpy as np

from app.engine.client import Scores
from app.graphs.folder import Logits


def best_classes(logits: Logits, temperature: float, top_ks: Sequence[int]) -> list[Scores]:
    """Logits (n, classes) → the softmax scores of each row's best classes, as many as `top_ks` says, descending."""
    scores = logits / np.float32(temperature)
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return [_best(row, k) for row, k in zip(scores, top_ks, strict=True)]


def _best(row: Logits, k: int) -> Scores:
    candidates = np.flatnonzero(~(row < np.partition(row, -k)[-k]))  # all that tie for the last place, too
    order = candidates[np.lexsort((candidates, -row[candidates]))][:k]  # of equal scores the first class goes first
    return Scores(row[order].tolist(), order.tolist())
