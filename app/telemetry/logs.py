"""Owns how log lines look and where they go; does not decide what is logged."""

import logging
import sys


def configure(level: str) -> None:
    """Sends every logger's lines to stderr, one line each; `level` is debug, info, warning or error."""
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
