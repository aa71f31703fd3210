"""Owns giving memory that is free back to the operating system; does not free any."""

import ctypes


def return_unused_memory() -> None:
    """Gives back what lies free in the heap, tens of MB after a model was loaded, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
