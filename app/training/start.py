"""Owns what a run begins with: a network's shape, weights and preprocessing; does not train."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from app.checkpoints.efficientnet import read_backbone
from app.checkpoints.own import ModelPackage
from app.checkpoints.read import open_tensors
from app.checkpoints.sources import load_model
from app.domain import PreprocessSpec
from app.errors import PackageError, SetupError
from app.network.resize import resize_state
from app.network.vit import VisionTransformer
from app.package.config import file_sha256
from app.package.preprocessing import at_size, check_pictures
from app.package.variants import ViTConfig, variant
from app.training.recipe import Recipe

_HEADS = ("head.", "head_dist.", "pre_logits.")


@dataclass(frozen=True, slots=True)
class Start:
    """A network before its first step. `weights` are a package's, all but the head, or those of a backbone alone.

    What is not in them is drawn; None: all is. `sha256` is of the file they come from, or of themselves where that is
    none or several.
    """

    architecture: str
    config: ViTConfig
    spec: PreprocessSpec
    weights: dict[str, Tensor] | None = None
    name: str = ""
    sha256: str = ""

    @property
    def is_backbone(self) -> bool:
        """Whether the weights are those of what stands before the encoder, and nothing else."""
        return self.weights is not None and not any(name.startswith("blocks.") for name in self.weights)

    def network(self, classes: int) -> VisionTransformer:
        """The network for so many classes, its weights from here or drawn from torch's generator.

        On given weights stands one linear layer of zeros for each head, whatever was there before (paper B.1.1).
        """
        network = VisionTransformer(replace(self.config, num_classes=classes))
        empty, state = network.state_dict(), dict[str, Tensor]()
        if self.weights is not None:
            state = self.weights | {name: torch.zeros_like(value) for name, value in empty.items() if _is_head(name)}
        if state.keys() != empty.keys():
            network.init_weights()
        network.load_state_dict(state, strict=False)
        return network

    def recorded(self, recipe: Recipe) -> Recipe:
        """The recipe with this start in it.

        Raises SetupError if it is for another variant, or for a start of the same name with other weights.
        """
        if recipe.variant not in ("", self.architecture):
            raise SetupError(f"{self.name} is a {self.architecture}, not the variant asked for, {recipe.variant}")
        if recipe.start == self.name and recipe.start_sha256 not in ("", self.sha256):
            raise SetupError(
                f"{self.name}: SHA-256 of the weights is {self.sha256 or 'not known'}, the recipe says "
                f"{recipe.start_sha256}: not the start that it was made with"
            )
        return replace(recipe, variant=self.architecture, start=self.name, start_sha256=self.sha256)


def random_start(recipe: Recipe) -> Start:
    """The recipe's variant with weights yet to be drawn.

    Raises UnknownVariant; SetupError if the recipe does not go with it.
    """
    if recipe.freeze or recipe.freeze_stages:
        what = f"freeze is {recipe.freeze}" if recipe.freeze else f"freeze_stages is {recipe.freeze_stages}"
        raise SetupError(f"{what}, but there is no start whose weights could be kept")
    return _drawn(recipe)


def _drawn(recipe: Recipe) -> Start:
    config = _fitted(variant(recipe.variant), recipe, recipe.variant)
    return Start(recipe.variant, config, _cropped(preprocess_spec(config), recipe))


def load_start(source: str, recipe: Recipe) -> Start:
    """What `VIT_MODEL` may name, as a start; the position table is resized to the recipe's size.

    Or the file of an EfficientNet-Lite0, for the backbone of a recipe's variant that has one.
    Raises what `load_model` raises; SetupError if there is no network in it, or the recipe does not go with it.
    """
    if takes_backbone(source, recipe):
        return _load_backbone(Path(source).expanduser(), recipe)
    package = load_model(source, for_training=True)
    check_pictures(package.preprocess)
    config = _fitted(package.network.config, recipe, source)
    try:
        state, _ = resize_state(package.network.state_dict(), package.network.config, config.img_size)
    except ValueError as error:
        raise SetupError(f"{source}: {error}") from error
    weights = {name: value for name, value in state.items() if not _is_head(name)}
    return Start(
        architecture=package.architecture,
        config=replace(config, representation_size=None),
        spec=_cropped(at_size(package.preprocess, *config.img_size), recipe),
        weights=weights,
        name=_name(source, package),
        sha256=package.sha256 or _digest(weights),
    )


def takes_backbone(source: str, recipe: Recipe) -> bool:
    """Whether this is a file with weights for the backbone of the recipe's variant. Raises UnknownVariant."""
    return bool(recipe.variant and variant(recipe.variant).lite_stages and Path(source).expanduser().is_file())


def _load_backbone(path: Path, recipe: Recipe) -> Start:
    """The recipe's variant, its backbone from a file, all else to be drawn."""
    if recipe.freeze:
        raise SetupError(f"freeze is {recipe.freeze}, but {path.name} has weights for the backbone only")
    start = _drawn(recipe)
    with torch.device("meta"):
        expected = VisionTransformer(start.config).state_dict()
    stored = open_tensors(path)
    try:
        weights = read_backbone(stored, expected)
    except PackageError as error:
        raise PackageError(f"{path}: {error}") from error
    return replace(start, weights=weights, name=path.name, sha256=file_sha256(path))


def preprocess_spec(config: ViTConfig) -> PreprocessSpec:
    """The whole image at the network's size; channel statistics of CIFAR-10 at 32 px, of ImageNet above.

    Before convolutions that are padded with zeros, but for the paper's hybrid, the middle of the pixels' range: those
    zeros are that grey then.
    """
    height, width = config.img_size
    if config.stem_widths:
        return PreprocessSpec(height, width, crop_pct=1.0, mean=(128 / 255,) * 3, std=(0.25,) * 3)
    if config.lite_stages:  # its makers take 127 from the pixels, and zeros are padded here too
        return PreprocessSpec(height, width, crop_pct=1.0, mean=(128 / 255,) * 3, std=(128 / 255,) * 3)
    if (height, width) == (32, 32):
        mean, std = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
        return PreprocessSpec(height, width, crop_pct=1.0, mean=mean, std=std)
    return PreprocessSpec(height, width, crop_pct=1.0)


def _name(source: str, package: ModelPackage) -> str:
    """The source without this machine's folders, or with the commit that a hub gave."""
    path = Path(source).expanduser()
    return path.resolve().name if path.exists() else package.source or source


def _digest(weights: dict[str, Tensor]) -> str:
    """SHA-256 of the tensors, for weights that lie in no file, or in several."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().data)
    return digest.hexdigest()


def _cropped(spec: PreprocessSpec, recipe: Recipe) -> PreprocessSpec:
    """The same preprocessing, or in another crop mode of the whole image: what is cut now was for the start's mode."""
    mode = recipe.crop_mode or spec.crop_mode
    return spec if mode == spec.crop_mode else replace(spec, crop_mode=mode, crop_pct=1.0, resize_px=None)


def _is_head(name: str) -> bool:
    return name.startswith(_HEADS)


def _fitted(config: ViTConfig, recipe: Recipe, what: str) -> ViTConfig:
    """The shape in the recipe's size and with its rates; what does not go together is told before images are read."""
    if recipe.freeze.isdigit() and int(recipe.freeze) > config.depth:
        raise SetupError(f"{what}: freeze is {recipe.freeze}, but there are {config.depth} blocks")
    if recipe.freeze_stages > config.lite_stages:
        raise SetupError(f"{what}: freeze_stages is {recipe.freeze_stages}, but there are {config.lite_stages} stages")
    try:
        return replace(
            config,
            img_size=(recipe.size, recipe.size) if recipe.size else config.img_size,
            drop_rate=recipe.drop_rate,
            drop_path_rate=recipe.drop_path_rate,
            patch_drop_rate=recipe.patch_drop_rate,
        )
    except ValueError as error:
        raise SetupError(f"{what}: {error}") from error
