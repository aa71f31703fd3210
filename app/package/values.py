"""Owns the checks of values from a JSON document that a stranger wrote; does not know what they mean.

Each returns the value in the type that its caller needs, or raises ValueError or TypeError that names it.
"""

from typing import Any


def mapping(value: Any, name: str) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise TypeError(f"{name} is {type(value).__name__}, not an object")
    return value


def items(value: Any, name: str, count: int | None = None) -> list[Any]:
    """A list, of so many values if `count` is given."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} is {type(value).__name__}, not a list")
    if count is not None and len(value) != count:
        raise ValueError(f"there are {len(value)} {name} values where {count} are needed")
    return list(value)


def number(value: Any, name: str) -> float:
    """A finite number under a million, either way."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e6:
        raise ValueError(f"{name} is {value!r}, which is no sensible number")
    return float(value)


def whole(value: Any, name: str) -> int:
    """A positive whole number under a million."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**20:
        raise ValueError(f"{name} is {value!r}, which is no sensible whole number")
    return value


def flag(value: Any, name: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, neither true nor false")
    return value


def one_of(value: Any, choices: tuple[str, ...], name: str) -> Any:
    """A text of those that are known."""
    if value not in choices:
        raise ValueError(f"{name} {value!r} is none of {', '.join(choices)}")
    return value


def height_and_width(value: Any, name: str) -> tuple[int, int]:
    """A list of both, or one number for a square."""
    height, width = items(value, name, 2) if isinstance(value, list) else (value, value)
    return whole(height, name), whole(width, name)


def numbers(values: Any, name: str) -> tuple[float, ...]:
    """One number or several, one a channel."""
    found = tuple(number(value, name) for value in items(values, name))
    if not found:
        raise ValueError(f"{name} is empty")
    return found
