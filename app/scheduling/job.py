"""Owns the ticket of one image on its way through the queue; does not hold pixels or results."""

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Job:
    """One admitted image. Its pixels lie in slot number `slot`; instants are on the monotonic clock, in seconds.

    `top_k`: how many classes are wanted; 0: the logits of all.
    """

    id: int
    slot: int
    top_k: int
    deadline_at: float
    submitted_at: float = 0.0
