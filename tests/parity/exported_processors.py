"""Owns what transformers makes of a picture by the processor of an exported folder; run as a script, does not compare.

`exported_processors.py read LIBRARY FOLDER` writes each subfolder's `pixels.safetensors` and the processor's name.
"""

import json
import sys
from pathlib import Path

from PIL import Image
from safetensors.torch import save_file


def main(out: Path) -> None:
    from transformers import AutoImageProcessor

    with Image.open(out / "picture.png") as file:
        picture = file.convert("RGB")
    names = {}
    for folder in sorted(out.glob("*/exported")):
        processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
        names[folder.parent.name] = type(processor).__name__
        pixels = processor(picture, return_tensors="pt")["pixel_values"]
        save_file({"pixels": pixels.contiguous()}, folder.parent / "pixels.safetensors")
    (out / "names.json").write_text(json.dumps(names))


if __name__ == "__main__":
    main(Path(sys.argv[3]))
