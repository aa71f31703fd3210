"""Owns timm's table of published Vision Transformers; does not know what its fields mean.

`timm_vits.json` is made by `tests/parity/timm_table.py`, and compared with timm by the parity tests.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

_TABLE: Final = Path(__file__).parent / "timm_vits.json"
_UNLIKE: Final = "unlike"  # what timm builds in place of a part, where we have no such network


def published_fields(architecture: str) -> dict[str, Any] | None:
    """What timm's architecture has otherwise than the defaults, under ViTConfig's names; None if it is not known."""
    fields = _table().get(architecture)
    if fields is None or _UNLIKE in fields:
        return None
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def unlike(architecture: str) -> str | None:
    """What that architecture has that our network has not, in timm's words; None: nothing, or it is not known."""
    reason: str | None = _table().get(architecture, {}).get(_UNLIKE)
    return reason


def published_names() -> tuple[str, ...]:
    """All architectures that `published_fields` knows."""
    return tuple(name for name, fields in _table().items() if _UNLIKE not in fields)


@cache
def _table() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return table
