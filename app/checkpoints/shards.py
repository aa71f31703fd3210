"""Owns which files hold a checkpoint's weights, whole or in shards; does not fetch or open them."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from app.errors import PackageError
from app.package.config import read_json

# As timm and transformers name them, what cannot hold code first.
WHOLE: Final = ("model.safetensors", "pytorch_model.bin")
INDEXES: Final = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
# Whole, or by an index; then those of open_clip, which timm takes too.
ORDER: Final = (
    *zip(WHOLE, INDEXES, strict=True),
    ("open_clip_model.safetensors", ""),
    ("open_clip_pytorch_model.bin", ""),
)
_SUFFIXES: Final = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".npz")
# What trainers and other libraries write beside weights under the same suffixes.
_BESIDE: Final = re.compile(
    r"(optimizer|scheduler|scaler|training_args|rng_state|random_states|adapter_|openvino_)\w*\.\w+"
)


def other_weights(names: Iterable[str]) -> list[str]:
    """Of the files of a folder those that may hold weights under a name of their own, in order."""
    return sorted(name for name in names if name.endswith(_SUFFIXES) and not _BESIDE.fullmatch(name))


def shards(index: Path) -> dict[str, str]:
    """Key → file of the shards that an index names. Raises PackageError."""
    where = read_json(index).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(name, str) for name in where.values()):
        raise PackageError(f"{index}: there is no weight_map of keys to files in it")
    return where
