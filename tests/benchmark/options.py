"""Owns what the user may choose about a benchmark, all by environment variables; does not measure."""

import os
from pathlib import Path
from typing import Final, Literal

import app

ROOT: Final = Path(__file__).parents[2]
TINY: Final = "random:vit_tiny_patch16_224"
BASE: Final = "random:vit_base_patch16_224"
NOOP: Final = "noop"
_PRETRAINED: Final = Path(app.__file__).parent / "package" / "pretrained"
_STAND_IN: Final = "random:vit_nano_patch4_32"


def seconds() -> int:
    """BENCH_SECONDS: how long each figure is measured; whole seconds, for wrk takes no others."""
    return max(1, int(os.environ.get("BENCH_SECONDS", "8")))


def repeats() -> int:
    """BENCH_REPEATS: how often a start is timed."""
    return max(1, int(os.environ.get("BENCH_REPEATS", "5")))


def large() -> bool:
    """BENCH_LARGE=1: engines are compared on ViT-B/16 too, which takes minutes."""
    return os.environ.get("BENCH_LARGE", "") not in ("", "0")


def json_path() -> Path | None:
    """BENCH_JSON: the file that gets all figures; none without it."""
    path = os.environ.get("BENCH_JSON")
    return Path(path).expanduser() if path else None


def images_folder() -> Path | None:
    """BENCH_IMAGES: a folder of the user's own JPEG files to send instead of our photographs."""
    path = os.environ.get("BENCH_IMAGES")
    return Path(path).expanduser() if path else None


def closed_loop_generator() -> Literal["wrk", "ours", "auto"]:
    """BENCH_GENERATOR: who makes the closed-loop load; `auto` takes wrk where it is installed."""
    match os.environ.get("BENCH_GENERATOR", "auto"):
        case "wrk":
            return "wrk"
        case "ours":
            return "ours"
        case "auto":
            return "auto"
        case other:
            raise ValueError(f"BENCH_GENERATOR is {other!r}; it must be wrk, ours or auto")


def embedded_model() -> tuple[str, str | None]:
    """The embedded model; where the checkout has none yet, random weights of its shape and a sentence that says so."""
    if (_PRETRAINED / "config.json").is_file():
        return "embedded", None
    return _STAND_IN, f"There is no embedded model in {_PRETRAINED}: {_STAND_IN} stands in for it."
