"""Owns a tiny network whose answers depend on the picture, and pictures that it tells apart; does not test."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from app.checkpoints.own import ModelPackage, save_package
from app.domain import PreprocessSpec
from app.graphs.folder import GRAPHS_NAME, Graphs, Pixels, read_graphs, write_manifest, write_probes
from app.network.vit import VisionTransformer
from app.package.variants import variant
from tests.training.pictures import png

NAME = "vit_pico_patch4_32"
LABELS = ("cat", "dog", "owl")
SPEC = PreprocessSpec(32, 32, crop_pct=1.0)


def network(seed: int = 0, **changes: Any) -> VisionTransformer:
    """One layer of 16 numbers, whose classes all come first for some picture."""
    shape = replace(variant(NAME), **{"depth": 1, "embed_dim": 16, "num_heads": 2, "num_classes": 3, **changes})
    made = VisionTransformer(shape).eval().requires_grad_(False)
    torch.manual_seed(seed)
    made.init_weights()
    for parameter in made.parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=0.3)
    made.head.weight.normal_()
    seen = made(F.interpolate(torch.randn(64, made.config.in_chans, 4, 4), size=made.config.img_size, mode="bicubic"))
    assert isinstance(seen, torch.Tensor)
    made.head.bias.sub_(seen.mean(dim=0))
    return made


def package_of(made: VisionTransformer, **changes: Any) -> ModelPackage:
    """Ready to be saved or exported."""
    classes, (height, width) = made.config.num_classes, made.config.img_size
    labels = LABELS if classes == len(LABELS) else tuple(f"class {i}" for i in range(classes))
    package = ModelPackage(
        name=f"{NAME}.tiny",
        architecture=NAME,
        network=made,
        labels=labels,
        preprocess=replace(SPEC, height=height, width=width),
        sha256=None,
    )
    return replace(package, **changes)


def saved(folder: Path, made: VisionTransformer | None = None, **changes: Any) -> Path:
    """A package of it on disk."""
    save_package(folder, package_of(made or network(), **changes))
    return folder


def ill_conditioned() -> VisionTransformer:
    """One whose first numbers nearly cancel out: whoever sums in another order gets another answer."""
    made = network()
    bias = made.patch_embed.proj.bias
    assert bias is not None
    bias.fill_(3e4)
    return made


def changed(folder: Path, **fields: Any) -> Path:
    """A package with other values in its config.json, at the top level or, where there is such a mapping, in it."""
    path = folder / "config.json"
    document = json.loads(path.read_text())
    for name, value in fields.items():
        document[name] = {**document[name], **value} if isinstance(document.get(name), dict) else value
    path.write_text(json.dumps(document))
    return folder


def copied(package: Path, to: Path) -> Path:
    """A copy to be spoilt."""
    shutil.copytree(package, to)
    return to


def with_int8(package: Path, key: str, change: Callable[[Any], Any] = lambda logits: logits) -> Path:
    """Adds what passes for an int8 graph: the float32 one again, its logits as `change` says."""
    folder = package / GRAPHS_NAME
    graphs = read_graphs(folder, key)
    for suffix in (".xml", ".bin"):
        shutil.copyfile(folder / f"float32{suffix}", folder / f"int8{suffix}")
    write_probes(folder, graphs.probes, {**graphs.logits, "int8": change(graphs.logits["float32"])})
    write_manifest(folder, key, {})
    return package


def blots(count: int, seed: int = 0, side_px: int = 32) -> Pixels:
    """Smooth pictures, uint8 (count, side_px, side_px, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(each).resize((side_px, side_px))) for each in coarse])


def blot_files(count: int, seed: int = 0) -> dict[str, bytes]:
    """The same as PNG files."""
    return {f"{number:03}.png": png(pixels) for number, pixels in enumerate(blots(count, seed))}


def same(one: Graphs, other: Graphs) -> bool:
    """Whether two folders hold the same graphs."""
    return (
        one.paths.keys() == other.paths.keys() == one.logits.keys() == other.logits.keys()
        and np.array_equal(one.probes, other.probes)
        and all(np.array_equal(each, other.logits[name]) for name, each in one.logits.items())
        and all(path.read_bytes() == other.paths[name].read_bytes() for name, path in one.paths.items())
    )


@contextmanager
def threads_kept() -> Iterator[None]:
    """torch's number of threads is as before."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
