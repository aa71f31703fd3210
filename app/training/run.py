"""Owns a training run from images to model package, and the folder it lives in; does not parse options or print."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from app.checkpoints.own import ModelPackage, save_package
from app.domain import PreprocessSpec
from app.errors import SetupError
from app.network.precision import computes_in_bfloat16
from app.package.config import CONFIG_NAME, WEIGHTS_NAME, file_sha256
from app.package.preprocessing import at_size
from app.training.augment import changed
from app.training.broken import BrokenFile, listing, table
from app.training.card import CardFacts, model_card
from app.training.card_quality import Beyond
from app.training.dataset import Dataset, load_dataset, load_images, split
from app.training.log import LOG_NAME, write_log
from app.training.loop import EpochReport, StepReport, Trainer
from app.training.measure import answers_of, measure_out_of_scope
from app.training.recipe import Recipe, load_recipe
from app.training.report import Evaluation, evaluate_logits
from app.training.start import load_start, random_start

CHECKPOINT_NAME: Final = "checkpoint.pt"
RECIPE_NAME: Final = "recipe.json"
CARD_NAME: Final = "README.md"
SKIPPED_NAME: Final = "skipped.txt"


@dataclass(frozen=True, slots=True)
class RunConfig:
    """One run. `tag` names the result: the package is called `<variant>.<tag>`.

    `out_of_scope` are images that show none of the classes, `data_note` is on source and licence: both for the card.
    With `skip_broken` files that cannot be read are left out; else they are an error.
    """

    data: Path
    out: Path
    recipe: Recipe
    tag: str
    device: torch.device
    precision: torch.dtype
    start: str = ""  # where the first weights come from, as `load_model` takes it; empty: as the recipe says
    keep_checkpoint: bool = True
    out_of_scope: Path | None = None
    data_note: str = ""
    skip_broken: bool = False


@dataclass(frozen=True, slots=True)
class _Images:
    """What a run reads; `others` are of none of the classes."""

    train: Dataset
    validation: Dataset
    others: Tensor | None
    skipped: int  # of the first two
    skipped_others: int


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
    evaluation: Evaluation
    kept: int
    epochs: int


Listener = Callable[[LoadReport | StepReport | EpochReport], None]
# Draws a run into its folder, where log.csv already lies, and returns the names of the files.
Draw = Callable[[Path, Sequence[str], Evaluation], tuple[str, ...]]
Warn = Callable[[str], None]  # told lines for a person


def run(
    config: RunConfig,
    listen: Listener,
    draw: Draw = lambda out, classes, evaluation: (),
    warn: Warn = lambda text: None,
) -> RunResult:
    """Trains, or goes on where an interrupted run of the same recipe stopped, and writes the package.

    `warn` is told, before training, which files were left out.
    Raises DatasetError; what `load_model` raises on the start; SetupError if the recipe does not go with it, or the
    folder holds something else; FloatingPointError if training diverges.
    """
    source = config.start or config.recipe.start
    start = load_start(source, config.recipe) if source else random_start(config.recipe)
    spec, config = start.spec, replace(config, recipe=start.recorded(config.recipe))
    try:
        claim(config.out, config.recipe)
        images = _load(config, spec, listen, warn)
        trainer = Trainer(config.recipe, start, len(images.train.classes), config.device, config.precision)
        del start  # the trainer holds a copy
        for report in trainer.run(images.train, images.validation, config.out / CHECKPOINT_NAME):
            if isinstance(report, EpochReport):
                write_log(config.out / LOG_NAME, report)
            listen(report)
        return _finish(config, trainer, images, spec, draw)
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
    if not path.exists():
        if begun or weights.exists():
            return f"holds a model or a checkpoint but no {RECIPE_NAME} that says what it was made with: clear it"
        others = [name for name in (CARD_NAME, CONFIG_NAME, LOG_NAME, SKIPPED_NAME) if (out / name).exists()]
        return f"holds a {others[0]} that is not of a run: clear it" if others else None
    if not begun and not weights.exists():
        return None
    stored = load_recipe(path)
    pairs = [(f.name, getattr(stored, f.name), getattr(recipe, f.name)) for f in fields(Recipe)]
    if differences := ", ".join(
        f"{name} is {there} there and {here} here" for name, there, here in pairs if there != here
    ):
        return f"holds a run of another recipe ({differences}): go on with that one by --recipe {path}"
    return None if begun else "holds the finished model of this recipe and no checkpoint to go on from: clear it"


def _load(config: RunConfig, spec: PreprocessSpec, listen: Listener, warn: Warn) -> _Images:
    """Everything that is read before training: what is wrong with it is better told now.

    Writes which files were left out beside the recipe. Raises DatasetError, OSError.
    """
    size = config.recipe.image_size
    kept = at_size(spec, size, size) if size else spec
    broken, broken_others = list[BrokenFile](), list[BrokenFile]()

    def progress(done: int, total: int) -> None:
        listen(LoadReport(done, total))

    dataset = load_dataset(config.data, kept, progress, broken if config.skip_broken else None)
    others = None
    if config.out_of_scope is not None:
        others = load_images(config.out_of_scope, spec, progress, broken_others if config.skip_broken else None)
    (config.out / SKIPPED_NAME).unlink(missing_ok=True)  # an earlier reading's
    for path, files in ((config.data, broken), (config.out_of_scope, broken_others)):
        if files:
            warn(f"{path}: {len(files):,} images cannot be read and are left out:\n{listing(files)}\n")
    if skipped := broken + broken_others:
        (config.out / SKIPPED_NAME).write_text(table(skipped), encoding="utf-8")
    train, validation = split(dataset, config.recipe.validation_share, config.recipe.seed)
    return _Images(train, validation, others, len(broken), len(broken_others))


def _finish(config: RunConfig, trainer: Trainer, images: _Images, spec: PreprocessSpec, draw: Draw) -> RunResult:
    train, validation, others = images.train, images.validation, images.others
    kept = trainer.best.epoch or trainer.epoch
    trainer.average.half().float()  # what is judged is what is written, and that is float16
    evaluation = evaluate_logits(trainer.logits(validation.images), validation.targets)
    _, changed_accuracy, _ = trainer.evaluate(replace(validation, images=changed(validation.images, config.recipe)))
    beyond = None if others is None else _beyond(config, trainer.logits(others), evaluation, train.classes)
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
    summary = _summary(config, images, evaluation, beyond)
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
        start_is_backbone=trainer.start_is_backbone,
        evaluation=evaluation,
        changed_accuracy=changed_accuracy,
        data_note=config.data_note,
        beyond=beyond,
        skipped=images.skipped,
        skipped_others=images.skipped_others,
        pictures=draw(config.out, train.classes, evaluation),
        kept=kept,
    )
    (config.out / CARD_NAME).write_text(model_card(facts), encoding="utf-8")
    if not config.keep_checkpoint:
        (config.out / CHECKPOINT_NAME).unlink()
    return RunResult(package.name, config.out, evaluation, kept, trainer.epoch)


def _beyond(config: RunConfig, logits: Tensor, evaluation: Evaluation, classes: Sequence[str]) -> Beyond:
    """What is answered to the images of none of the classes, as in service."""
    assert config.out_of_scope is not None
    answers = answers_of(logits, evaluation.temperature, evaluation.threshold)
    return Beyond(config.out_of_scope.resolve().name, measure_out_of_scope(answers, classes))


def _summary(config: RunConfig, images: _Images, evaluation: Evaluation, beyond: Beyond | None) -> dict[str, Any]:
    """What the package's config.json says of its training; what was not given or measured is left out."""
    summary: dict[str, Any] = {
        "data": _data_name(config),
        "recipe": asdict(config.recipe),
        "images": len(images.train.targets),
        "validation_images": evaluation.images,
        "validation_accuracy": round(evaluation.accuracy, 4),
        "expected_calibration_error": round(evaluation.calibration_error, 4),
    }
    if images.skipped:
        summary["skipped"] = images.skipped
    if config.data_note:
        summary["data_note"] = config.data_note
    if beyond is not None:
        measured = beyond.measured
        summary["out_of_scope"] = {
            "data": beyond.data,
            "images": measured.images,
            **({"skipped": images.skipped_others} if images.skipped_others else {}),
            "high_confidence": None if measured.sure_share is None else round(measured.sure_share, 4),
            "mean_score": round(measured.mean_score, 4),
            "answers": dict(measured.answers),
        }
    return summary


def _command(config: RunConfig) -> str:
    """The command that repeats the run, without the folders of the machine it ran on."""
    files = [_data_name(config), "--out", config.out.resolve().name, "--recipe", RECIPE_NAME]
    if config.recipe.start:
        files += ["--from", config.recipe.start]
    options = ["--name", config.tag, "--device", config.device.type, "--precision", _precision_name(config)]
    if config.out_of_scope is not None:
        options += ["--out-of-scope", config.out_of_scope.resolve().name]
    if config.skip_broken:
        options.append("--skip-broken")
    if config.data_note:
        options += ["--data-note", config.data_note]
    return shlex.join(["vit-serve", "train", *files, *options])


def _data_name(config: RunConfig) -> str:
    return config.data.resolve().name


def _precision_name(config: RunConfig) -> str:
    return str(config.precision).removeprefix("torch.")
