"""Owns the way between Settings and command-line flags, in both directions; does not declare any option."""

import json
import os
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Iterable
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic_settings import SettingsError

from app.settings import Settings

_PREFIX: Final = str(Settings.model_config["env_prefix"])


def add_settings(parser: ArgumentParser, names: Iterable[str] = tuple(Settings.model_fields)) -> None:
    """Gives the parser one flag for each named field of Settings."""
    for name in names:
        field = Settings.model_fields[name]
        default = json.dumps(field.default) if _is_json(name) else field.default
        text = f"{field.description} Default: {default}. Environment: {_variable(name)}."
        # Values stay text here: Settings converts and checks them, whichever way they came.
        parser.add_argument(_flag(name), dest=name, metavar=_metavar(name), help=text.replace("%", "%%"))


def read_settings(args: Namespace, **overrides: Any) -> Settings:
    """A flag goes before the environment variable, which goes before the default; `overrides` go before all.

    Raises argparse.ArgumentError with one line that names the option.
    """
    given = {name: value for name in Settings.model_fields if (value := getattr(args, name, None)) is not None}
    try:
        return Settings(**{name: _from_text(name, text) for name, text in given.items()} | overrides)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        source = _flag(name) if name in given else _variable(name)
        shown = given.get(name, first["input"])
        reason = first["msg"].removeprefix("Input ").removeprefix("String ")
        raise ArgumentError(None, f"{source} is {str(shown)!r}, but it {reason}") from error
    except SettingsError as error:  # an environment variable that should hold JSON and does not
        name = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "")
        raise ArgumentError(None, _not_json(_variable(name), os.environ.get(_variable(name), ""))) from error


def _from_text(name: str, text: str) -> Any:
    if not _is_json(name):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ArgumentError(None, _not_json(_flag(name), text)) from error


def _not_json(source: str, text: str) -> str:
    return f'{source} is {text!r}, but it should be JSON, a list such as ["one", "two"]'


def _is_json(name: str) -> bool:
    return get_origin(Settings.model_fields[name].annotation) is tuple


def _metavar(name: str) -> str:
    """The choices, the unit, or the kind of value."""
    annotation = Settings.model_fields[name].annotation
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    if (unit := name.rpartition("_")[2]) in ("s", "ms", "bytes"):
        return unit.upper()
    if _is_json(name):
        return "JSON"
    return "N" if annotation in (int, float) else name.upper()


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return _PREFIX + name.upper()
