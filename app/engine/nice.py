"""Owns the low priority of a thread whose work must not be in another's way; does not start threads."""

import os
import sys
import threading
from typing import Final

LAST: Final = 10  # a tenth of a core where others want it; all of it where nobody does


def go_last() -> None:
    """Of the calling thread, where threads have a priority of their own: on Linux."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LAST)
