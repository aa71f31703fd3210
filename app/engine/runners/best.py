"""Owns the best classes of logits on a CPU, by numpy; does not know where logits come from."""

from collections.abc import Sequence

import numpy as np

from app.domain import Scoring
from app.engine.client import Scores
from app.graphs.folder import Logits
from app.graphs.scores import scores_of


def best_classes(logits: Logits, scoring: Scoring, top_ks: Sequence[int]) -> list[Scores]:
    """Logits (n, classes) → the scores of each row's best classes, as many as `top_ks` says, descending.

    Of a row of which it says 0 the logits themselves.
    """
    rows = zip(scores_of(logits, scoring), logits, top_ks, strict=True)
    return [_best(scores, k) if k else Scores(row.tolist(), []) for scores, row, k in rows]


def _best(row: Logits, k: int) -> Scores:
    candidates = np.flatnonzero(~(row < np.partition(row, -k)[-k]))  # all that tie for the last place, too
    order = candidates[np.lexsort((candidates, -row[candidates]))][:k]  # of equal scores the first class goes first
    return Scores(row[order].tolist(), order.tolist())
