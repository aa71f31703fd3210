"""Owns torchvision where it was built for another torch than the one installed; does not use it."""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Final

from app.checkpoints.providers.extras import is_installed

# Says of each compiled function what shapes it gives, and trips over those that were not loaded.
_REGISTRATIONS: Final = "torchvision._meta_registrations"


def make_importable() -> None:
    """Leaves out its compiled part where that does not fit, as PyPI's does not beside a torch for CPUs alone.

    Without it the libraries that import torchvision cannot be imported. Their classifiers use none of its functions.
    """
    if not is_installed("torchvision") or "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        sys.modules[_REGISTRATIONS] = ModuleType(_REGISTRATIONS)
