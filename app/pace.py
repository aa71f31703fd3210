"""Owns how often something leaves a stage that is busy, learned from what has left; does not read a clock."""

from typing import Final

_SHARE_OF_THE_NEWEST: Final = 0.2
_OUTLIER: Final = 4.0  # times what is usual: a machine that paused for once must not turn clients away


class Pace:
    """A running average over batches, each by its size: after one alone, a burst must not look as slow as that.

    Used from several threads without a lock: an update that is lost in a race costs nothing.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._seconds = self._images = 0.0

    @property
    def seconds_per_image(self) -> float:
        """How often an image leaves when all lanes are busy; 0 before the first."""
        return self._seconds / self._images / self._lanes if self._images else 0.0

    def add(self, images: int, seconds: float) -> None:
        """One of the lanes took `seconds` for a batch of `images`."""
        if not self._images:
            self._seconds, self._images = seconds, float(images)
            return
        usual = self._seconds / self._images * images
        self._seconds += _SHARE_OF_THE_NEWEST * (min(seconds, _OUTLIER * usual) - self._seconds)
        self._images += _SHARE_OF_THE_NEWEST * (images - self._images)
