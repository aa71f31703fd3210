"""Owns a training run from images to model package, and the folder it lives in; does not parse options or print."""

import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Final

import torch

from app.domain import PreprocessSpec
from app.errors import SetupError
from app.model.package import WEIGHTS_NAME, ModelPackage, file_sha256, save_package
from app.model.precision import computes_in_bfloat16
from app.training.card import CardFacts, model_card
from app.training.dataset import Dataset, load_dataset, load_images, split
from app.training.loop import EpochReport, StepReport, Trainer
from app.training.measure import Answered, OutOfScope, measure_out_of_scope
from app.training.recipe import Recipe, load_recipe
from app.training.report import Evaluation, evaluate_logits
from app.training.start import load_start, random_start

CHECKPOINT_NAME: Final = "checkpoint.pt"
RECIPE_NAME: Final = "recipe.json"
LOG_NAME: Final = "log.csv"
CARD_NAME: Final = "README.md"
_LOG_HEAD: Final = "epoch,train_loss,validation_loss,validation_accuracy,learning_rate,images_per_s"


@dataclass(frozen=True, slots=True)
class RunConfig:
    """One run. `tag` names the result: the package is called `<variant>.<tag>`.

    For the card: `data_note` tells source and licence of the data, `out_of_scope` is a folder or zip of images that
    show none of the classes, `pictures` are names of files that the caller will put beside it.
    """

    data: Path
    out: Path
    recipe: Recipe
    tag: str
    device: torch.device
    precision: torch.dtype
    start: str = ""  # where the first weights come from, as `load_model` takes it; empty: as the recipe says
    keep_checkpoint: bool = True
    data_note: str = ""
    out_of_scope: Path | None = None
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadReport:
    """How many images have been read."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came out: the averaged weights after epoch `kept` of the `epochs` that were run."""

    name: str
    package: Path
    classes: tuple[str, ...]
    evaluation: Evaluation
    kept: int
    epochs: int


Listener = Callable[[LoadReport | StepReport | EpochReport], None]


def run(config: RunConfig, listen: Listener) -> RunResult:
    """Trains, or goes on where an interrupted run of the same recipe stopped, and writes the package.

    Raises DatasetError; what `load_model` raises on the start; SetupError if the recipe does not go with it, or the
    folder holds something else; FloatingPointError if training diverges.
    """
    source = config.start or config.recipe.start
    start = load_start(source, config.recipe) if source else random_start(config.recipe)
    spec, config = start.spec, replace(config, recipe=start.recorded(config.recipe))
    try:
        claim(config.out, config.recipe)
        dataset = load_dataset(config.data, spec, lambda done, total: listen(LoadReport(done, total)))
        train, validation = split(dataset, config.recipe.validation_share, config.recipe.seed)
        del dataset  # the split holds copies
        trainer = Trainer(config.recipe, start, len(train.classes), config.device, config.precision)
        del start  # the trainer holds a copy
        for report in trainer.run(train, validation, config.out / CHECKPOINT_NAME):
            if isinstance(report, EpochReport):
                write_log(config.out / LOG_NAME, report)
            listen(report)
        return _finish(config, trainer, train, validation, spec)
    except OSError as error:
        raise SetupError(f"{config.out}: {error}") from error


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """`float32`, `bfloat16`, or `auto`: bfloat16 where the device computes in it, which is faster."""
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    return torch.bfloat16 if computes_in_bfloat16(device) else torch.float32


def claim(out: Path, recipe: Recipe) -> None:
    """Makes the folder this run's own by writing the recipe into it.

    Raises SetupError rather than mix two runs or write over a finished model.
    """
    out.mkdir(parents=True, exist_ok=True)
    if conflict := _conflict(out, recipe):
        raise SetupError(f"{out} {conflict}, or choose another folder")
    (out / RECIPE_NAME).write_text(recipe.to_json(), encoding="utf-8")


def _conflict(out: Path, recipe: Recipe) -> str | None:
    """What stands against training this recipe in that folder, and what to do about it."""
    path, weights = out / RECIPE_NAME, out / WEIGHTS_NAME
    begun = (out / CHECKPOINT_NAME).exists()
    if not begun and not weights.exists():
        return None
    if not path.exists():
        return f"holds a model or a checkpoint but no {RECIPE_NAME} that says what it was made with: clear it"
    stored = load_recipe(path)
    pairs = [(f.name, getattr(stored, f.name), getattr(recipe, f.name)) for f in fields(Recipe)]
    if differences := ", ".join(
        f"{name} is {there} there and {here} here" for name, there, here in pairs if there != here
    ):
        return f"holds a run of another recipe ({differences}): go on with that one by --recipe {path}"
    return None if begun else "holds the finished model of this recipe and no checkpoint to go on from: clear it"


def write_log(path: Path, report: EpochReport) -> None:
    """Adds a row; rows of this epoch or later ones, left by a run whose checkpoint is gone, are dropped."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else []
    lines = [line for line in lines if int(line.partition(",")[0]) < report.epoch]
    losses = f"{report.train_loss:.4f},{report.validation_loss:.4f}"
    rates = f"{report.learning_rate:.3g},{report.images_per_s:.0f}"
    lines.append(f"{report.epoch},{losses},{report.validation_accuracy:.4f},{rates}")
    path.write_text("\n".join((_LOG_HEAD, *lines)) + "\n", encoding="utf-8")


def _finish(
    config: RunConfig, trainer: Trainer, train: Dataset, validation: Dataset, spec: PreprocessSpec
) -> RunResult:
    kept = trainer.best.epoch or trainer.epoch
    trainer.average.half().float()  # what is judged is what is written, and that is float16
    evaluation = evaluate_logits(trainer.evaluate(validation)[2], validation.targets)
    package = ModelPackage(
        name=f"{config.recipe.variant}.{config.tag}",
        architecture=config.recipe.variant,
        network=trainer.average.cpu(),
        labels=train.classes,
        preprocess=spec,
        sha256=None,
        temperature=evaluation.temperature,
        threshold=evaluation.threshold,
    )
    beyond = _beyond(config, trainer, train.classes, spec, evaluation) if config.out_of_scope else None
    summary = {
        "data": _data_name(config),
        "recipe": asdict(config.recipe),
        "images": len(train.targets),
        "validation_images": evaluation.images,
        "validation_accuracy": round(evaluation.accuracy, 4),
        "expected_calibration_error": round(evaluation.calibration_error, 4),
    }
    if beyond is not None:
        summary["out_of_scope"] = {"images": beyond.images, "high_confidence": beyond.sure_share}
    save_package(config.out, package, torch.float16, {"training": summary})
    facts = CardFacts(
        name=package.name,
        data=_data_name(config),
        data_sha256=file_sha256(config.data) if config.data.is_file() else None,
        command=_command(config),
        classes=train.classes,
        train_images=len(train.targets),
        parameters=sum(p.numel() for p in package.network.parameters()),
        device=config.device.type,
        precision=_precision_name(config),
        spec=spec,
        recipe=config.recipe,
        evaluation=evaluation,
        data_note=config.data_note,
        beyond=beyond,
        pictures=config.pictures,
        kept=kept,
    )
    (config.out / CARD_NAME).write_text(model_card(facts), encoding="utf-8")
    if not config.keep_checkpoint:
        (config.out / CHECKPOINT_NAME).unlink()
    return RunResult(package.name, config.out, train.classes, evaluation, kept, trainer.epoch)


def _beyond(
    config: RunConfig, trainer: Trainer, classes: tuple[str, ...], spec: PreprocessSpec, evaluation: Evaluation
) -> OutOfScope:
    """What the network answers to images of none of its classes. Raises DatasetError."""
    assert config.out_of_scope is not None
    images = load_images(config.out_of_scope, spec)
    unused = torch.zeros(len(images), dtype=torch.int64)
    logits = trainer.evaluate(Dataset(images, unused, classes))[2]
    best = (logits / evaluation.temperature).softmax(dim=1).max(dim=1)
    threshold = evaluation.threshold
    answers = [
        Answered(None, (index,), (score,), None if threshold is None else score >= threshold)
        for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
    return measure_out_of_scope(answers, classes)


def _command(config: RunConfig) -> str:
    """The command that repeats the run, without the folders of the machine it ran on."""
    files = [_data_name(config), "--out", config.out.resolve().name, "--recipe", RECIPE_NAME]
    if config.recipe.start:
        files += ["--from", config.recipe.start]
    options = ["--name", config.tag, "--device", config.device.type, "--precision", _precision_name(config)]
    if config.out_of_scope:
        options += ["--out-of-scope", config.out_of_scope.resolve().name]
    if config.data_note:
        options += ["--data-note", config.data_note]
    return shlex.join(["vit-serve", "train", *files, *options])


def _data_name(config: RunConfig) -> str:
    return config.data.resolve().name


def _precision_name(config: RunConfig) -> str:
    return str(config.precision).removeprefix("torch.")
