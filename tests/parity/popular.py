# mypy: ignore-errors
"""Owns popular repositories built with random weights, and what their library and we answer; does not compare.

`popular.py make LIBRARY FOLDER`: the folder holds pictures, and gets a folder for each repository, whose `answer.json`
has the library's scores of each picture and ours, in the order of classes.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

# torchvision's compiled part is for another torch; of it, timm needs the import alone.
sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")

from app.checkpoints.sources import load_servable  # noqa: E402
from app.errors import SetupError  # noqa: E402
from app.graphs.export import logits_of  # noqa: E402
from app.imaging.decode import DecodeLimits  # noqa: E402
from app.imaging.resample import preprocess  # noqa: E402
from app.network.fold import fold_normalisation  # noqa: E402
from app.network.library import LibraryNetwork  # noqa: E402
from tests.parity.libraries import drawn  # noqa: E402
from tests.parity.repositories import ARCHITECTURES, REFUSED, SMALLER, TIMM, TRANSFORMERS, WRAPPED  # noqa: E402

SPREAD = 1.5  # standard deviation of logits over pictures, so that some of a thousand scores are large


def tuned(network: nn.Module, logits: Callable[[], torch.Tensor], classes: int) -> None:
    """Makes what it answers hang on the picture, as training does.

    Batch normalisations get the statistics of the pictures, else nothing of these is left after some dozen layers. What
    makes the logits is scaled and shifted, so that their mean over the pictures is 0 and no score is like another.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    logits()
    for norm in norms:
        norm.eval().running_var.clamp_(min=norm.running_var.mean() / 10)  # of what is nearly constant only errors grow
    heads = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d) and len(m.weight) == classes]
    seen = logits()
    by = SPREAD / (seen - seen.mean(dim=0)).std()
    for head in heads:
        if head.bias is not None:
            head.weight.mul_(by)
    seen = logits()
    for head in heads:
        if head.bias is not None:
            head.bias.sub_(seen.mean(dim=0).view_as(head.bias))


def ours(folder: Path, pictures: list[Path]) -> dict[str, Any]:
    """Our scores, and by what they were computed; or the refusal."""
    try:
        package = load_servable(str(folder))
    except SetupError as error:
        return {"error": str(error)}
    spec, network = package.preprocess, package.network
    pixels = np.empty((len(pictures), spec.height, spec.width, 3), np.uint8)
    for picture, out in zip(pictures, pixels, strict=True):
        preprocess(picture.read_bytes(), spec, DecodeLimits(), out)
    fold_normalisation(network, spec)
    scores = torch.from_numpy(logits_of(network, pixels)).softmax(dim=1)
    by_library = isinstance(network, LibraryNetwork)
    return {"scores": scores.tolist(), "by_library": by_library, "labels": package.labels}


def make_transformers(name: str, folder: Path, pictures: list[Path]) -> list[list[float]]:
    """Saves the repository and returns the scores of transformers' pipeline."""
    import transformers as t

    start, fields, classes, processor, _ = TRANSFORMERS[name]
    labels = {i: f"label {i}" for i in range(classes)}
    kind = start.removesuffix("WithTeacher")
    small = SMALLER.get(start, {})
    config_class = getattr(t, "SiglipConfig" if kind == "Siglip" else f"{kind}Config")
    config = config_class(vision_config=fields | small) if kind == "Siglip" else config_class(**(fields | small))
    config.id2label = labels
    network = drawn(getattr(t, f"{kind}ForImageClassification{start.removeprefix(kind)}")(config))
    folder.mkdir()
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    network.save_pretrained(folder)
    reader = t.AutoImageProcessor.from_pretrained(folder)
    images = [Image.open(picture) for picture in pictures]
    tuned(network, lambda: network(**reader(images, return_tensors="pt")).logits, classes)
    network.save_pretrained(folder)
    pipeline = t.pipeline("image-classification", model=str(folder), image_processor=reader, device="cpu")
    answers = [{each["label"]: each["score"] for each in pipeline(image, top_k=classes)} for image in images]
    return [[answer[label] for label in labels.values()] for answer in answers]


def make_timm(name: str, folder: Path, pictures: list[Path]) -> list[list[float]]:
    """Saves the repository and returns the scores that timm gives with its own transforms."""
    import timm
    from timm.data import create_transform, resolve_model_data_config
    from timm.models import save_for_hf

    arguments, classes, _ = TIMM[name]
    architecture = ARCHITECTURES.get(name, name.partition("/")[2])
    network = drawn(timm.create_model(architecture, num_classes=classes, **arguments))
    transform = create_transform(**resolve_model_data_config(network), is_training=False)
    images = torch.stack([transform(Image.open(picture)) for picture in pictures])
    tuned(network, lambda: network(images), classes)
    with torch.inference_mode():
        scores = network(images).softmax(dim=1).tolist()
    if name in WRAPPED:
        wrap(network, architecture, arguments, folder)
    else:
        save_for_hf(network, str(folder), model_args=arguments or None, safe_serialization=True)
    return scores


def wrap(network: nn.Module, architecture: str, arguments: dict[str, Any], folder: Path) -> None:
    """As transformers saves a network of timm that it has around itself."""
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    config = TimmWrapperConfig.from_dict(
        {"architecture": architecture.partition(".")[0], "model_args": arguments, "num_classes": network.num_classes},
        id2label={i: f"label {i}" for i in range(network.num_classes)},
    )
    config.pretrained_cfg = {**network.pretrained_cfg, "num_classes": network.num_classes}
    wrapped = TimmWrapperForImageClassification(config)
    wrapped.timm_model.load_state_dict(network.state_dict())
    wrapped.save_pretrained(folder)


def make_refused(library: str, out: Path) -> list[str]:
    """Folders of what is refused that belongs to this library; returns their repositories."""
    names = list(REFUSED)
    if library == "timm":
        import timm
        from timm.models import save_for_hf

        network = drawn(timm.create_model(names[0].partition("/")[2], num_classes=0, depth=1))
        save_for_hf(network, str(out / names[0].replace("/", "--")), model_args={"depth": 1}, safe_serialization=True)
        return names[:1]
    from safetensors.torch import save_file

    code, onnx = (out / name.replace("/", "--") for name in names[1:])
    for folder in (code, onnx):
        folder.mkdir()
    document = {"model_type": "mambavision", "architectures": ["MambaVision"]}
    document["auto_map"] = {"AutoModelForImageClassification": "modeling_mambavision.MambaVisionModelForImage"}
    (code / "config.json").write_text(json.dumps(document))
    (code / "modeling_mambavision.py").write_text("raise SystemExit('code of a repository was run')\n")
    save_file({"model.patch_embed.proj.weight": torch.ones(4, 3, 2, 2)}, code / "model.safetensors")
    (onnx / "config.json").write_text(json.dumps({"model_type": "vit", "architectures": ["ViTForImageClassification"]}))
    (onnx / "onnx").mkdir()
    (onnx / "onnx" / "model.onnx").write_bytes(b"\x08\x07")
    return names[1:]


def main(library: str, out: Path) -> None:
    pictures = sorted(out.glob("*.png"))
    make, names = (make_timm, TIMM) if library == "timm" else (make_transformers, TRANSFORMERS)
    for name in names:
        folder = out / name.replace("/", "--")
        theirs = make(name, folder, pictures)
        (folder / "answer.json").write_text(json.dumps({"theirs": theirs, **ours(folder, pictures)}))
        for file in folder.glob("*.safetensors"):
            file.unlink()
    for name in make_refused(library, out):
        folder = out / name.replace("/", "--")
        (folder / "answer.json").write_text(json.dumps(ours(folder, pictures)))


if __name__ == "__main__":
    main(sys.argv[2], Path(sys.argv[3]))
