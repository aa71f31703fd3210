# mypy: ignore-errors
"""Owns what our way answers by a library, in a process where that can be imported; run as `reference.py` is.

`served.py serve LIBRARY FOLDER` reads each case that `libraries.py` made and writes beside it the logits, in torch and
in OpenVINO; then it breaks one case in every way, and writes what is said to each.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from app.checkpoints.sources import load_servable
from app.engine.runners.openvino import CompiledGraph, infer
from app.errors import SetupError
from app.graphs.export import export, logits_of
from app.network.fold import fold_normalisation

# torchvision's compiled part is for another torch; of it, timm needs the import alone.
sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")


def serve(folder: Path) -> None:
    """As an engine does, without its threads: torch's logits and, read back from the graph, OpenVINO's."""
    pixels = np.load(folder / "pixels.npy")
    package = load_servable(str(folder))
    answer = {"architecture": package.architecture, "labels": len(package.labels), "activation": package.activation}
    (folder / "answer.json").write_text(json.dumps(answer))
    assert pixels.shape[1:3] == (package.preprocess.height, package.preprocess.width), package.preprocess
    fold_normalisation(package.network, package.preprocess)
    np.save(folder / "torch.npy", logits_of(package.network, pixels))
    export(package.network, pixels, folder / "float32.xml")
    request = CompiledGraph(folder / "float32.xml", "float32", cores=2, lanes=1).request()
    np.save(folder / "openvino.npy", np.concatenate([infer(request, pixels[:1]), infer(request, pixels[1:])]))


class Running:
    """An object that a pickle makes by running code."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def weights(**changed: Callable[[Any], Any] | None) -> Callable[[Path], None]:
    """Tensors, dots written as two underscores, in another way than they were; None: without."""

    def change(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        for name, with_ in changed.items():
            key = name.replace("__", ".")
            before = state.pop(key, torch.zeros(3))
            if with_ is not None:
                state[key] = with_(before).contiguous()
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def config(name: str = "config.json", **changed: Any) -> Callable[[Path], None]:
    """Fields of a JSON file as they are given; None: the file is taken away."""

    def change(folder: Path) -> None:
        document = json.loads((folder / name).read_text()) if (folder / name).is_file() else {}
        (folder / name).write_text(json.dumps(document | changed))

    return change


def pretrained(**changed: Any) -> Callable[[Path], None]:
    """Fields of timm's `pretrained_cfg`."""

    def change(folder: Path) -> None:
        document = json.loads((folder / "config.json").read_text())
        document["pretrained_cfg"] |= changed
        (folder / "config.json").write_text(json.dumps(document))

    return change


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": torch.zeros(3), "x": Running(folder.parent / "ran")}, folder / "pytorch_model.bin")


def with_code(folder: Path) -> None:
    config(model_type="mine", auto_map={"AutoModelForImageClassification": "mine.Mine"})(folder)
    (folder / "mine.py").write_text(f"open({str(folder.parent / 'ran')!r}, 'w')\n")


def five(tensor: Any) -> Any:
    return tensor[:5]


TIMM = {
    "a tensor less": weights(stem__0__weight=None),
    "a tensor more": weights(one__more=lambda tensor: tensor),
    "another shape": weights(head__fc__weight=five, head__fc__bias=five),
    "other classes": config(num_classes=9, model_args={"num_classes": 7}),
    "not finite": weights(stem__0__bias=lambda tensor: tensor / 0),
    "a dead head": weights(head__fc__weight=torch.zeros_like, head__fc__bias=torch.zeros_like),
    "no architecture of timm's": config(architecture="convnext_unheard_of"),
    "a size that it does not take": pretrained(input_size=[3, 2, 2]),
    "a pickle": pickled,
}
_PROCESSOR = "preprocessor_config.json"
TRANSFORMERS = {
    "a tensor less": weights(classifier__weight=None),
    "another shape": weights(classifier__weight=five),
    "foreign code": with_code,
    "a fetched backbone": config(use_pretrained_backbone=True),
    "quantised": config(quantization_config={"quant_method": "bitsandbytes"}),
    "an adapter": config("adapter_config.json", base_model_name_or_path="us/other"),
    "no preprocessor": lambda folder: (folder / _PROCESSOR).unlink(),
    "an unknown processor": config(_PROCESSOR, image_processor_type="PerceiverImageProcessor"),
    "no classifier": config(model_type="bert"),
    "a pickle": pickled,
}


def refused(out: Path, whole: Path, cases: dict[str, Callable[[Path], None]]) -> dict[str, str]:
    """What is said to each broken copy of a case."""
    said = {}
    for name, change in cases.items():
        folder = Path(shutil.copytree(whole, out / "broken" / name.replace(" ", "-")))
        change(folder)
        try:
            load_servable(str(folder))
            said[name] = "taken"
        except SetupError as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


def in_pickles(out: Path, whole: Path) -> str:
    """The same weights as a file of torch.save: its architecture, or why it was refused."""
    folder = Path(shutil.copytree(whole, out / "pickled"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    try:
        return load_servable(str(folder)).architecture
    except SetupError as error:
        return str(error)


if __name__ == "__main__":
    _, command, library, place = sys.argv
    assert command == "serve"
    out = Path(place)
    for each in sorted(path.parent for path in out.glob("*/expected.npy")):
        try:
            serve(each)
        except SetupError as error:
            (each / "answer.json").write_text(json.dumps({"error": str(error)}))
    first, cases = (out / "convnext_atto", TIMM) if library == "timm" else (out / "convnext", TRANSFORMERS)
    (out / "refused.json").write_text(json.dumps(refused(out, first, cases)))
    (out / "pickled.json").write_text(json.dumps(in_pickles(out, first)))
    if library == "timm":
        from app.checkpoints.providers.timm import published

        names = ("resnet50", "resnet50.a1_in1k", "resnet50.nope", "nothing", "cspnext_l", "gcvit_base")
        (out / "names.json").write_text(json.dumps({name: published(name) for name in names}))
