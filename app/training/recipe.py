"""Owns the options of a training run, one dataclass that is written beside the result; does not train."""

import json
import math
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from app.domain import CropMode
from app.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that, with the data and the seed, determines a run. Rates per image or per step as named.

    Raises ValueError, naming the option, for a value that makes no sense.
    """

    variant: str = "vit_nano_patch4_32"  # with a start: that of its package, or empty
    start: str = ""  # where the first weights come from, without folders; empty: new ones
    start_sha256: str = ""  # of that start's weights
    freeze: str = ""  # what keeps the start's weights: `backbone`, all but the head; N, embeddings and N first blocks
    freeze_stages: int = 0  # first stages of an EfficientNet that keep the start's weights
    size: int = 0  # height and width of the network's input in pixels; 0: the start's, or the variant's
    crop_mode: CropMode | Literal[""] = (
        ""  # center, squash or border, of the whole image; empty: the start's, or center
    )
    image_size: int = 0  # height and width at which images are kept and changed, then brought to `size`; 0: `size`
    epochs: int = 20
    patience: int = 0  # stop after so many epochs without a lower validation loss, keep the best; 0: all, keep the last
    batch_size: int = 128
    seed: int = 20261123
    validation_share: float = 0.1  # of every class, drawn with the seed
    # Optimiser: Muon for hidden matrices and filters, AdamW for the rest; the rate falls in a line.
    learning_rate: float = 2e-3
    stem_learning_rate: float = 0.025  # of a convolutional stem's filters: the share by which a step turns them
    backbone_rate: float = 1.0  # of an EfficientNet: its share of learning_rate
    momentum: float = 0.95  # Muon's
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    grad_clip: float = 1.0
    # Regularisation.
    label_smoothing: float = 0.1
    drop_rate: float = 0.0  # dropout after every dense layer but qkv and after the position embedding (paper B.1)
    drop_path_rate: float = 0.05
    patch_drop_rate: float = 0.0  # share of the patches hidden from the encoder …
    patch_drop_until: float = 0.7  # … for this share of the run
    ema_decay: float = 0.998  # per step; the averaged weights are what is evaluated and kept
    # Augmentation.
    flip: float = 0.5
    plain: float = 0.0  # share of the images that are only flipped, shifted and erased; the others get all that follows
    shift: int = 0  # how far plain images are shifted at most, in pixels
    crop_scale: tuple[float, float] = (0.4, 1.2)  # area of the random crop; above 1 it reaches over the border
    crop_ratio: tuple[float, float] = (0.8, 1.25)
    colour: float = 0.3  # strength of brightness, contrast and saturation jitter
    tint: float = 0.0  # strength of the jitter of each colour channel by itself
    grey: float = 0.0  # share of images without colour
    sharpness: float = (
        0.0  # how far images are blurred or sharpened; 1: to a Gaussian of about 1 px, or as far the other way
    )
    noise: float = 0.0  # standard deviation of the strongest noise, on pixels of 0 … 1
    erase: float = 0.0  # share of images in which a rectangle is painted over with noise
    augment_until: float = 1.0  # share of the run after which only the flip is left

    def __post_init__(self) -> None:
        for name in ("crop_scale", "crop_ratio"):
            low, high = getattr(self, name)
            if not 0 < low <= high < math.inf:
                raise ValueError(f"{name} is ({low}, {high}); it must be two numbers, 0 < low <= high")
        if self.seed >= 2**63:
            raise ValueError(f"seed is {self.seed}; it must be below 2**63")
        for name in ("epochs", "batch_size", "learning_rate", "stem_learning_rate", "grad_clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        for name in (
            "validation_share",
            "label_smoothing",
            "ema_decay",
            "momentum",
            "drop_rate",
            "drop_path_rate",
            "patch_drop_rate",
        ):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1")
        for name in (
            "patch_drop_until",
            "flip",
            "plain",
            "augment_until",
            "colour",
            "tint",
            "grey",
            "sharpness",
            "noise",
            "erase",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")
        for name in (
            "seed",
            "weight_decay",
            "warmup_epochs",
            "size",
            "image_size",
            "freeze_stages",
            "backbone_rate",
            "patience",
            "shift",
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.crop_mode not in ("", *get_args(CropMode)):
            raise ValueError(
                f"crop_mode is {self.crop_mode!r}; it must be empty or one of {', '.join(get_args(CropMode))}"
            )
        if not re.fullmatch(r"|backbone|[0-9]{1,4}", self.freeze):
            raise ValueError(f"freeze is {self.freeze!r}; it must be empty, backbone or a number of blocks")

    def to_json(self) -> str:
        """The recipe as a JSON document."""
        return json.dumps(asdict(self), indent=1) + "\n"


def fine_tuning_recipe() -> Recipe:
    """The defaults for a start that has seen other images: short, gentle, nearer to the images as they are.

    Not the paper's (SGD, no decay, 500 steps or more): our optimisers, which need fewer steps of small batches.
    """
    return Recipe(
        variant="",
        epochs=10,
        patience=3,
        batch_size=32,
        learning_rate=5e-4,
        stem_learning_rate=0.005,
        weight_decay=0.01,
        crop_scale=(0.6, 1.0),
        colour=0.1,
    )


def load_recipe(path: Path) -> Recipe:
    """Reads a recipe; options left out keep their defaults.

    Raises DatasetError on unknown names or unreadable JSON.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise TypeError("not a JSON object")
        return Recipe(**{name: _checked(name, value) for name, value in values.items()})
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(f"{path}: not a training recipe: {error}") from error


def _checked(name: str, value: Any) -> Any:
    """The value if it is of the kind that the option's default is; whole numbers pass as fractions."""
    defaults = {f.name: f.default for f in fields(Recipe)}
    if name not in defaults:
        raise ValueError(f"there is no option {name!r}; there are: {', '.join(defaults)}")
    default = defaults[name]
    if isinstance(default, tuple):
        if not isinstance(value, list) or len(value) != len(default):
            raise TypeError(f"{name} must be a list of {len(default)} numbers")
        return tuple(_number(name, part, float) for part in value)
    if isinstance(default, str):
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a string")
        return value
    return _number(name, value, type(default))


def _number(name: str, value: Any, kind: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        raise TypeError(f"{name} must be a {'whole ' if kind is int else ''}number, not {value!r}")
    return kind(value)
