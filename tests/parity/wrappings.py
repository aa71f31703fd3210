"""Owns what timm's load_checkpoint reads of a file with several dictionaries of weights; does not compare.

Run by test_wrappings.py where timm is installed: `wrappings.py make timm FOLDER`.
"""

import argparse
import sys
from itertools import combinations
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file

# torchvision's compiled part is for another torch; of it timm needs the import alone.
sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")

from timm.models import load_state_dict  # noqa: E402

KEYS = ("state_dict_ema", "model_ema", "state_dict", "model")


def main(folder: Path) -> None:
    """Writes one file for each set of keys, wrapped as scripts do, and beside it what timm takes."""
    for size in range(1, len(KEYS) + 1):
        for keys in combinations(KEYS, size):
            for shell in ("", "module."):
                case = folder / f"{'+'.join(keys)}{shell}"
                states = {key: {f"{shell}w": torch.full((3,), float(KEYS.index(key)))} for key in reversed(keys)}
                options = argparse.Namespace(lr=0.1)
                torch.save({"epoch": 3, **states, "arch": "vit", "args": options, "metric": 0.5}, f"{case}.pth")
                save_file(load_state_dict(f"{case}.pth"), f"{case}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[3]))
