"""Owns what timm and transformers make of the ViT's relatives; run as a script, as `reference.py` is.

`relatives.py make LIBRARY FOLDER` saves each as the library does, every parameter drawn anew, with an input and logits.
"""

import json
import sys
from pathlib import Path
from typing import Any

from app.package.published import published_fields, published_names
from tests.parity.reference import answer, drawn, new

_SIZES = {"img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "init_values"}
_SMALL = {"img_size": (28, 42), "patch_size": 14, "embed_dim": 96, "depth": 2, "num_heads": 2, "num_classes": 5}
_HF = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
_TEXT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48, "vocab_size": 20}


def kinds() -> list[str]:
    """One published architecture, the first in the alphabet, of each that differ in more than sizes."""
    found: dict[str, str] = {}
    for name in published_names():
        fields = published_fields(name) or {}
        rest = {key: value for key, value in fields.items() if key not in _SIZES} | {"ls": "init_values" in fields}
        found.setdefault(json.dumps(rest, sort_keys=True), name)
    return list(found.values())


def make_timm(out: Path) -> None:
    import timm
    from timm.models import save_for_hf

    for name in kinds():
        network = drawn(timm.create_model(name, **_SMALL))
        folder = new(out / name)
        arguments = {key: value for key, value in _SMALL.items() if key != "num_classes"}
        save_for_hf(network, str(folder), model_args=arguments, safe_serialization=True)
        answer(network, folder, (28, 42), lambda n, x: n(x))


def make_transformers(out: Path) -> None:
    import transformers as t

    vit = {**_HF, "image_size": 32, "patch_size": 16, "num_labels": 5}
    towers = {"vision_config": {**_HF, "image_size": 32, "patch_size": 16}, "num_labels": 5}
    towers["text_config"] = {**_TEXT, "bos_token_id": 0, "eos_token_id": 1}
    dino = {**_HF, "image_size": 70, "patch_size": 14, "num_labels": 5}
    dino.pop("intermediate_size")
    squash = t.ViTImageProcessor(size={"height": 32, "width": 32})
    crop = t.BitImageProcessor(size={"shortest_edge": 48}, crop_size={"height": 42, "width": 42})
    whole = t.BitImageProcessor(size={"shortest_edge": 80}, crop_size={"height": 70, "width": 70})
    clip = t.CLIPImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})
    siglip = t.SiglipImageProcessor(size={"height": 32, "width": 32})
    registers = t.Dinov2WithRegistersForImageClassification
    towers_alone = {"hidden_act": "gelu", **_HF, "image_size": 32, "patch_size": 16}
    cases: dict[str, tuple[Any, Any, Any, int]] = {
        "clip": (t.CLIPForImageClassification, t.CLIPConfig(**towers), clip, 32),
        "siglip": (t.SiglipForImageClassification, t.SiglipConfig(**towers), siglip, 32),
        "dinov2": (t.Dinov2ForImageClassification, t.Dinov2Config(**dino), crop, 42),
        "dinov2_swiglu": (t.Dinov2ForImageClassification, t.Dinov2Config(**dino, use_swiglu_ffn=True), whole, 70),
        "registers": (registers, t.Dinov2WithRegistersConfig(**dino), crop, 42),
        "msn": (t.ViTMSNForImageClassification, t.ViTMSNConfig(**vit), squash, 32),
        "ijepa": (t.IJepaForImageClassification, t.IJepaConfig(**vit), squash, 32),
        "mae": (t.ViTMAEForPreTraining, t.ViTMAEConfig(**vit), squash, 0),  # a start: there are no logits
        "clip_tower": (t.CLIPModel, t.CLIPConfig(**towers), clip, 0),
        "clip_vision": (t.CLIPVisionModel, t.CLIPVisionConfig(**towers_alone), clip, 0),
        "siglip_tower": (t.SiglipModel, t.SiglipConfig(**towers), siglip, 0),
        "siglip_vision": (t.SiglipVisionModel, t.SiglipVisionConfig(**towers_alone), siglip, 0),
        "dinov2_trunk": (t.Dinov2Model, t.Dinov2Config(**dino), whole, 0),
    }
    for name, (kind, config, processor, size) in cases.items():
        network = drawn(kind(config))
        folder = new(out / name)
        network.save_pretrained(folder)
        processor.save_pretrained(folder)
        if size:
            answer(network, folder, size, lambda n, x: n(x).logits)
        elif name != "mae":  # which hides patches: a start, too, but it answers nothing
            tower = network.vision_model if hasattr(network, "text_model") else network
            answer(tower, folder, processor_size(processor), lambda n, x: n(x).pooler_output)


def processor_size(processor: Any) -> tuple[int, int]:
    """The (height, width), in pixels, of what it gives."""
    size = getattr(processor, "crop_size", None) or processor.size
    return size["height"], size["width"]


if __name__ == "__main__":
    _, command, library, place = sys.argv
    assert command == "make"
    {"timm": make_timm}.get(library, make_transformers)(Path(place))
