"""Owns latencies as counts in bins, 3 % wide; does not measure or simulate them."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]
_LEAST_S: Final = 1e-4
_DECADES: Final = 7
_BINS_A_DECADE: Final = 80
BINS: Final = _DECADES * _BINS_A_DECADE
_EDGES: Final = _LEAST_S * 10 ** (np.arange(BINS + 1) / _BINS_A_DECADE)


def counted(latencies_s: Sequence[float]) -> Counts:
    """How many lie in each bin; what lies beyond the first or last, in that."""
    clipped = np.clip(latencies_s, _EDGES[0], _EDGES[-1] * (1 - 1e-9))
    return np.histogram(clipped, _EDGES)[0].astype(np.float64)


def quantile_s(counts: Counts, share: float) -> float | None:
    """The latency that `share` of all do not exceed, on the logarithmic line within its bin; None of none."""
    total = np.cumsum(counts)
    if not total.size or total[-1] <= 0:
        return None
    at = int(np.searchsorted(total, share * total[-1]))
    before = total[at - 1] if at else 0.0
    part = (share * total[-1] - before) / counts[at] if counts[at] else 1.0
    return float(_EDGES[at] * math.pow(_EDGES[at + 1] / _EDGES[at], part))
