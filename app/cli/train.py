"""Owns `vit-serve train`: options, progress, exit code; does not train."""

import re
import shlex
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import SetupError
from app.training.recipe import Recipe, fine_tuning_recipe, load_recipe

if TYPE_CHECKING:
    from app.training.run import RunConfig

INTERRUPTED: Final = 130  # what shells report for a program ended by Ctrl-C
_DESCRIPTION: Final = (
    "Trains a Vision Transformer on your images and writes a model package that `vit-serve serve --model DIR` takes. "
    "The class of an image is the name of the folder it lies in: cats/1.jpg, dogs/2.jpg. A part of every class is kept "
    "back to measure the accuracy. If it is interrupted, the same command goes on from the last finished epoch. "
    "With --from it begins with the weights of a model instead of random ones, which takes fewer images and epochs: "
    "with all but the head, in place of which stands a new one for your classes."
)
_FLAGS: Final = ("variant", "freeze", "size", "epochs", "patience", "batch_size", "learning_rate", "seed")


def configure(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.description = _DESCRIPTION
    parser.add_argument("data", type=Path, metavar="DATA", help="folder or zip of images, one folder for each class")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write to; made if it is not there"
    )
    parser.add_argument(
        "--name", help="the package is called VARIANT.NAME; default: the data's file name without suffix"
    )
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="leave out image files that cannot be read, and list them in DIR/skipped.txt; else they end the run",
    )
    _configure_recipe(parser)
    card = parser.add_argument_group("model card", "What its README.md tells beside what the run itself shows.")
    card.add_argument(
        "--out-of-scope",
        type=Path,
        metavar="DATA",
        help="folder or zip of images that show none of the classes: what is answered to them, and how surely?",
    )
    card.add_argument("--data-note", default="", metavar="TEXT", help="where the images come from, and their licence")
    machine = parser.add_argument_group("machine")
    machine.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: the GPU if there is one"
    )
    machine.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="auto: bfloat16 where the device computes in it, which is faster; else float32",
    )
    machine.add_argument("--discard-checkpoint", action="store_true", help="delete DIR/checkpoint.pt after success")


def run(args: Namespace) -> int:
    """Trains and writes the package; returns the exit code. Raises ArgumentError, SetupError."""
    from app.cli.pictures import draw_run
    from app.cli.progress import training_progress
    from app.training import run as training

    config = _config(args)
    try:
        with training_progress() as listen:
            result = training.run(config, listen, draw_run, _warn)
    except FloatingPointError as error:
        advice = "try a lower --learning-rate (with a stem, also stem_learning_rate in --recipe), in another --out"
        raise SetupError(f"training diverged at {error}; {advice}") from error
    except KeyboardInterrupt:
        sys.stderr.write(
            f"vit-serve train: stopped; the same command goes on after the last epoch saved in {args.out}\n"
        )
        return INTERRUPTED
    quality = result.evaluation
    if config.recipe.patience:
        sys.stdout.write(f"Kept: epoch {result.kept} of {result.epochs}, the lowest validation loss.\n")
    sys.stdout.write(
        f"{result.name}: {100 * quality.accuracy:.2f} % of {quality.images:,} validation images right, "
        f"expected calibration error {quality.calibration_error:.4f}\n"
        f"Written to {result.package}; its README.md tells more. To serve it:\n"
        f"  vit-serve serve --model {shlex.quote(str(result.package))}\n"
    )
    return 0


def _warn(text: str) -> None:
    sys.stderr.write(f"vit-serve train: {text}")


def _configure_recipe(parser: ArgumentParser) -> None:
    recipe = parser.add_argument_group(
        "recipe",
        "What stands in no flag comes from --recipe, and else from its default. "
        f"Defaults with --from: {_fine_tuning_defaults()}.",
    )
    recipe.add_argument(
        "--from",
        dest="start",
        metavar="MODEL",
        help="start from this model's weights and preprocessing: a package's directory, or whatever "
        "`vit-serve serve --model` takes; for --variant vit_nano_lite0_s32_128 also the file of an EfficientNet-Lite0",
    )
    recipe.add_argument(
        "--freeze",
        metavar="backbone|N",
        help="with --from: train only the head, or all but the embeddings and the first N blocks",
    )
    recipe.add_argument(
        "--size", type=int, metavar="PX", help="height and width of the network's input; default: the model's own"
    )
    recipe.add_argument(
        "--recipe", type=Path, metavar="FILE", help="JSON file such as the recipe.json of an earlier run"
    )
    recipe.add_argument(
        "--variant", help="architecture, see `vit-serve models`; default: vit_nano_patch4_32, or the --from model's"
    )
    recipe.add_argument("--epochs", type=int, metavar="N", help="passes over the images; default: 20")
    recipe.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help="stop after N epochs without a lower validation loss, and keep the best epoch's weights; default: 0, off",
    )
    recipe.add_argument("--batch-size", type=int, metavar="N", help="images in one step; default: 128")
    recipe.add_argument(
        "--learning-rate", type=float, metavar="X", help="its peak; lower it if training diverges; default: 0.002"
    )
    recipe.add_argument("--seed", type=int, metavar="N", help="of the split, the first weights and every random choice")


def _config(args: Namespace) -> "RunConfig":
    from app.engine.runners.device import choose_device
    from app.training.run import RunConfig, choose_precision
    from app.training.start import takes_backbone

    defaults = fine_tuning_recipe() if args.start else Recipe()
    recipe = load_recipe(args.recipe) if args.recipe else defaults
    if args.start and Path(args.start).name != recipe.start and not takes_backbone(args.start, recipe):
        recipe = replace(recipe, variant="")  # the start's, unless the flag says another, which is refused
    try:
        recipe = replace(recipe, **{name: value for name in _FLAGS if (value := getattr(args, name)) is not None})
    except ValueError as error:
        raise ArgumentError(None, str(error)) from error
    device = choose_device(args.device)
    return RunConfig(
        data=args.data,
        out=args.out,
        recipe=recipe,
        tag=_tag(args),
        device=device,
        precision=choose_precision(args.precision, device),
        start=args.start or "",
        keep_checkpoint=not args.discard_checkpoint,
        out_of_scope=args.out_of_scope,
        data_note=" ".join(args.data_note.split()),
        skip_broken=args.skip_broken,
    )


def _fine_tuning_defaults() -> str:
    """Those that differ from the usual ones."""
    usual = asdict(Recipe())
    changes = {name: value for name, value in asdict(fine_tuning_recipe()).items() if value not in ("", usual[name])}
    return ", ".join(f"{name} {value}" for name, value in changes.items())


def _tag(args: Namespace) -> str:
    """The name given, which must be fit for a model's name, or one made from the data's."""
    if args.name is None:
        return re.sub(r"[^A-Za-z0-9._-]+", "-", args.data.resolve().stem).strip(".-") or "data"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", args.name):
        raise ArgumentError(None, f"--name is {args.name!r}, but it should be of letters, digits, dots, - and _ only")
    return str(args.name)
