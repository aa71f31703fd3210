"""vit-serve: classifies images with a Vision Transformer, as a library and as a service."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from app.version import VERSION

if TYPE_CHECKING:
    from app.bootstrap import open_classifier as open_classifier
    from app.classifier import Classifier as Classifier
    from app.domain import Classification as Classification
    from app.domain import ModelInfo as ModelInfo
    from app.domain import Prediction as Prediction
    from app.domain import Timing as Timing
    from app.errors import VitServeError as VitServeError
    from app.settings import Settings as Settings

__version__: Final = VERSION

# Loaded on first use, so that `vit-serve --help` does not wait for torch.
_HOME: Final = {
    "Classification": "app.domain",
    "Classifier": "app.classifier",
    "ModelInfo": "app.domain",
    "Prediction": "app.domain",
    "Settings": "app.settings",
    "Timing": "app.domain",
    "VitServeError": "app.errors",
    "open_classifier": "app.bootstrap",
}
__all__ = [  # noqa: PLE0604, RUF100
    "Classification",
    "Classifier",
    "ModelInfo",
    "Prediction",
    "Settings",
    "Timing",
    "VitServeError",
    "open_classifier",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
