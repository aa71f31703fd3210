"""Owns the version of this software; does not read it from anywhere."""

from typing import Final

VERSION: Final = "0.1.0"
