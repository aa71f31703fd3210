"""Owns the options of a training run, one dataclass that is written beside the result; does not train."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from app.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that, with the data and the seed, determines a run. Rates per image or per step as named."""

    variant: str = "vit_nano_patch4_32"
    epochs: int = 20
    batch_size: int = 128
    seed: int = 20261123
    validation_share: float = 0.1  # of every class, drawn with the seed
    # Optimiser: Muon for the matrices inside the blocks, AdamW for the rest; cosine schedule after a linear warm-up.
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    grad_clip: float = 1.0
    # Regularisation.
    label_smoothing: float = 0.1
    drop_path_rate: float = 0.05
    patch_drop_rate: float = 0.0  # share of the patches hidden …
    patch_drop_until: float = 0.7  # … for this share of the run
    ema_decay: float = 0.998  # per step; the averaged weights are what is evaluated and kept
    # Augmentation.
    flip: float = 0.5
    crop_scale: tuple[float, float] = (0.4, 1.2)  # area of the random crop; above 1 it reaches over the border
    crop_ratio: tuple[float, float] = (0.8, 1.25)
    colour: float = 0.3  # strength of brightness, contrast and saturation jitter
    augment_until: float = 1.0  # share of the run after which only the flip is left

    def to_json(self) -> str:
        """The recipe as a JSON document."""
        return json.dumps(asdict(self), indent=1) + "\n"


def load_recipe(path: Path) -> Recipe:
    """Reads a recipe; options left out keep their defaults.

    Raises DatasetError on unknown names or unreadable JSON.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = {f.name for f in fields(Recipe)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown options {unknown}")
        return Recipe(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(f"{path}: not a training recipe: {error}") from error
