"""Owns which names and versions the served model answers to in the contracts of others; does not load models."""

from typing import Final

from starlette.requests import Request

from app.api.state import State
from app.errors import UnknownModel

VERSION: Final = "1"  # a model package has none; who serves another starts another service


def check_model(request: Request, versions: tuple[str, ...] = (VERSION,)) -> str:
    """The name in the path, which is that of the model or one of its aliases. Raises UnknownModel."""
    name = str(request.path_params["model"])
    check_names(State.of(request), name, request.path_params.get("version", versions[0]), versions)
    return name


def check_names(state: State, name: str, version: str, versions: tuple[str, ...] = (VERSION,)) -> None:
    """Raises UnknownModel unless they are those of the model or one of its aliases, and of a version there is."""
    own, aliases = state.classifier.info.name, state.settings.model_aliases
    if name != own and name not in aliases:
        raise UnknownModel(
            f"there is no model {name[:100]!r}; this one is {own!r}, and VIT_MODEL_ALIASES may give it more names"
        )
    if version not in versions:
        raise UnknownModel(f"there is no version {version[:40]!r} of the model; there is {versions[0]}")
