"""Owns small pictures that are easy to tell apart; does not test."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from app.checkpoints.own import ModelPackage, save_package
from app.domain import PreprocessSpec
from app.network.vit import VisionTransformer
from app.package.variants import ViTConfig
from app.training.dataset import Dataset
from app.training.recipe import Recipe
from app.training.start import Start, random_start

SPEC = PreprocessSpec(32, 32, crop_pct=1.0, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
VARIANT = "vit_test_patch8_32"
SHAPE = ViTConfig(img_size=(32, 32), patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=2)
RECIPE = replace(Recipe(), variant=VARIANT, epochs=3, batch_size=16, seed=7, warmup_epochs=0.5)


def fresh(recipe: Recipe = RECIPE) -> Start:
    """Random weights, behind SPEC."""
    return replace(random_start(recipe), spec=SPEC)


def write_start(folder: Path, seed: int = 5, **changes: Any) -> Path:
    """A package of random weights for five classes, its network SHAPE with changes, its preprocessing unlike SPEC."""
    torch.manual_seed(seed)
    network = VisionTransformer(replace(SHAPE, num_classes=5, **changes))
    network.init_weights()
    height, width = network.config.img_size
    spec = PreprocessSpec(height, width, "bilinear", 0.9, "squash", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    save_package(
        folder,
        ModelPackage(
            name=f"{VARIANT}.start",
            architecture=VARIANT,
            network=network,
            labels=tuple("abcde"),
            preprocess=spec,
            sha256=None,
        ),
    )
    return folder


def stripes(count: int, seed: int = 0) -> Dataset:
    """`count` noisy pictures, upright stripes of random phase and contrast (0) and lying ones (1) in turn."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 2
    phase = torch.rand(count, 1, generator=generator) * 6.3
    waves = torch.sin(torch.arange(32) * 1.57 + phase)[:, None, :].expand(-1, 32, -1)
    waves = torch.where(targets.view(-1, 1, 1) == 0, waves, waves.transpose(1, 2))
    contrast = 40 + 50 * torch.rand(count, 1, 1, 1, generator=generator)
    noise = 15 * torch.randn(count, 3, 32, 32, generator=generator)
    images = (128 + contrast * waves[:, None] + noise).clamp(0, 255).to(torch.uint8)
    return Dataset(images, targets, ("upright", "lying"))


def png(pixels: np.ndarray) -> bytes:
    """(height, width, 3) uint8 → a PNG file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def plain(value: int, size: int = 8) -> bytes:
    """A grey PNG."""
    return png(np.full((size, size, 3), value, dtype=np.uint8))


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A tree of files."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    """The same as one zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def stripe_files(count: int) -> dict[str, bytes]:
    """`stripes` as PNG files in a folder for each class."""
    data = stripes(count)
    pixels = data.images.permute(0, 2, 3, 1).numpy()
    return {f"{data.classes[t]}/{i:03}.png": png(pixels[i]) for i, t in enumerate(data.targets.tolist())}
