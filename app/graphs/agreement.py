"""Owns whether two computations of a network say the same; does not run any."""

from typing import Final

import numpy as np

from app.domain import Scoring
from app.graphs.folder import Logits
from app.graphs.scores import scores_of

_TIE: Final = 0.02  # two classes whose scores are this close have no order worth defending
_SAME: Final = (
    0.02  # largest difference of a score; without an activation, as a share of the largest score of its class
)
_EXACT: Final = 1e-4  # largest difference of a logit in float32, of logits of this size or smaller


def exact_within(expected: Logits) -> float:
    """How far a logit of float32 may be off: other kernels sum in another order."""
    return _EXACT * max(1.0, float(np.abs(expected).max()))


def disagreement(expected: Logits, found: Logits, scoring: Scoring, exact: bool = False) -> str | None:
    """Why `found` (n, classes) will not do for `expected`; None if it does. `exact`: as float32 of float32.

    Another class may go first only where both are nearly tied, and no score may differ by more than 0.02. Without an
    activation no class is first, and no number may differ by more than 2 % of the largest of its class, or what
    float32 may differ by.
    """
    difference = np.abs(found - expected)
    if not np.isfinite(found).all():
        return "it gives what is no number"
    if exact and difference.max() > exact_within(expected):
        return f"a logit differs by {difference.max():.2g}"
    scores, others = scores_of(expected, scoring), scores_of(found, scoring)
    if scoring.activation == "none":
        allowed = np.maximum(_SAME * np.abs(scores).max(axis=0), exact_within(scores))
        over = np.unravel_index((np.abs(scores - others) / allowed).argmax(), scores.shape)
        beyond = abs(scores[over] - others[over]) > allowed[over[1]]
        return f"{scores[over]:.4g} became {others[over]:.4g}" if beyond else None
    rows = np.arange(len(scores))
    lead = scores.max(axis=1) - scores[rows, others.argmax(axis=1)]
    if (lead > _TIE).any():
        return f"it names another class first, one whose score is {lead.max():.3f} lower"
    if (apart := float(np.abs(scores - others).max())) > _SAME:
        return f"a score differs by {apart:.3f}"
    return None
