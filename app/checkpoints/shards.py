"""Owns which files hold a checkpoint's weights, whole or in shards; does not fetch or open them."""

from pathlib import Path
from typing import Final

from app.errors import PackageError
from app.package.config import read_json

# As timm and transformers name them, what cannot hold code first.
WHOLE: Final = ("model.safetensors", "pytorch_model.bin")
INDEXES: Final = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def shards(index: Path) -> dict[str, str]:
    """Key → file of the shards that an index names. Raises PackageError."""
    where = read_json(index).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(name, str) for name in where.values()):
        raise PackageError(f"{index}: there is no weight_map of keys to files in it")
    return where
