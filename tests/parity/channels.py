"""Owns what timm and transformers make of networks of one to five input channels; run as `reference.py` is.

`channels.py make LIBRARY FOLDER` saves each with an input and logits and, of grey ones, the scores of pictures.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tests.graphs.tiny import blots
from tests.parity.reference import HF, answer, drawn, new

MEAN, STD = 0.4, 0.3
NUMBERS = (1, 2, 4, 5)
_TIMM = {"img_size": 48, "num_classes": 5}
_SMALL = {"embed_dim": 64, "depth": 2, "num_heads": 4, "patch_size": 16}


def pictures() -> list[Image.Image]:
    """Larger than the networks' input, so that they are resized."""
    return [Image.fromarray(pixels) for pixels in blots(4, side_px=67)]


def make_timm(out: Path) -> None:
    import timm
    from timm.models import save_for_hf

    cases = {str(n): ("vit_base_patch16_224", {**_TIMM, **_SMALL, "in_chans": n}) for n in NUMBERS}
    cases["hybrid"] = ("vit_tiny_r_s16_p8_224", {**_TIMM, "in_chans": 1, "img_size": 96})
    for name, (architecture, arguments) in cases.items():
        channels, side = arguments["in_chans"], arguments.get("img_size", 48)
        network = drawn(timm.create_model(architecture, **arguments))
        stated = {"input_size": (channels, side, side), "mean": (MEAN,) * channels, "std": (STD,) * channels}
        network.pretrained_cfg.update({**stated, "crop_pct": 0.9, "interpolation": "bicubic"})
        folder = new(out / name)
        save_for_hf(network, str(folder), model_args=arguments, safe_serialization=True)
        if channels == 1:
            data = timm.data.resolve_data_config(pretrained_cfg=network.pretrained_cfg)
            prepare = timm.data.create_transform(**data)
            write_scores(network, folder, [prepare(picture.convert("L"))[None] for picture in pictures()])
        answer(network, folder, side, lambda n, x: n(x), channels)


def make_transformers(out: Path) -> None:
    import transformers as t

    for channels in NUMBERS:
        network = drawn(t.ViTForImageClassification(t.ViTConfig(**HF, num_channels=channels, num_labels=5)))
        side = network.config.image_size
        size = {"height": side, "width": side}
        processor = t.ViTImageProcessor(size=size, image_mean=[MEAN] * channels, image_std=[STD] * channels)
        folder = new(out / str(channels))
        network.save_pretrained(folder)
        processor.save_pretrained(folder)
        if channels == 1:
            grey = [np.asarray(picture.convert("L"))[:, :, None] for picture in pictures()]
            told = {"input_data_format": "channels_last", "return_tensors": "pt"}
            write_scores(network, folder, [processor(each, **told)["pixel_values"] for each in grey])
        answer(network, folder, side, lambda n, x: n(x).logits, channels)


def write_scores(network: Any, folder: Path, inputs: list[Tensor]) -> None:
    with torch.inference_mode():
        answers = [network(x) for x in inputs]
    scores = [getattr(answer, "logits", answer)[0].softmax(dim=0).tolist() for answer in answers]
    (folder / "scores.json").write_text(json.dumps(scores))


if __name__ == "__main__":
    _, command, library, place = sys.argv
    {"timm": make_timm}.get(library, make_transformers)(Path(place))
