"""Owns how much memory a GPU has and how much is taken, as functions to ask; does not take any."""

from collections.abc import Callable


def memory_gauges(device: str) -> dict[str, Callable[[], float]]:
    """Bytes of a CUDA device, `used` by whomever and `total`; empty for a CPU."""
    if not device.startswith("cuda"):
        return {}
    from app.engine.runners.device import free_and_total  # torch, where there is a GPU, is loaded already

    return {"used": lambda: free_and_total()[1] - free_and_total()[0], "total": lambda: free_and_total()[1]}
