"""Owns the scores that logits become, by numpy; does not rank or compare them."""

import numpy as np

from app.domain import Scoring
from app.graphs.folder import Logits


def scores_of(logits: Logits, scoring: Scoring) -> Logits:
    """Logits (n, classes) → their scores alike, in an array of its own. However large a logit is, nothing overflows."""
    scores: Logits = logits / np.float32(scoring.temperature)
    if scoring.activation == "none":
        return scores
    if scoring.activation == "sigmoid":
        powers = np.exp(-np.abs(scores))
        sigmoids: Logits = np.where(scores < 0, powers, np.float32(1)) / (1 + powers)
        sigmoids[np.isinf(scores)] = np.nan  # as a softmax is then: who looks for broken networks looks at scores
        return sigmoids
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores
