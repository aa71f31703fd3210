"""Owns `vit-serve train`: options, progress, exit code; does not train."""

import re
import shlex
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import SetupError

if TYPE_CHECKING:
    from app.training.run import RunConfig

INTERRUPTED: Final = 130  # what shells report for a program ended by Ctrl-C
_DESCRIPTION: Final = (
    "Trains a Vision Transformer on your images and writes a model package that `vit-serve serve --model DIR` takes. "
    "The class of an image is the name of the folder it lies in: cats/1.jpg, dogs/2.jpg. A part of every class is kept "
    "back to measure the accuracy. If it is interrupted, the same command goes on from the last finished epoch."
)


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
    recipe = parser.add_argument_group(
        "recipe", "What stands in no flag comes from --recipe, and else from its default."
    )
    recipe.add_argument(
        "--recipe", type=Path, metavar="FILE", help="JSON file such as the recipe.json of an earlier run"
    )
    recipe.add_argument("--variant", help="architecture, see `vit-serve models`; default: vit_nano_patch4_32")
    recipe.add_argument("--epochs", type=int, metavar="N", help="passes over the images; default: 20")
    recipe.add_argument("--batch-size", type=int, metavar="N", help="images in one step; default: 128")
    recipe.add_argument(
        "--learning-rate", type=float, metavar="X", help="its peak; lower it if training diverges; default: 0.002"
    )
    recipe.add_argument("--seed", type=int, metavar="N", help="of the split, the first weights and every random choice")
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
            result = training.run(config, listen, draw_run)
    except FloatingPointError as error:
        raise SetupError(f"training diverged at {error}; try a lower --learning-rate, in another --out") from error
    except KeyboardInterrupt:
        sys.stderr.write(
            f"vit-serve train: stopped; the same command goes on after the last epoch saved in {args.out}\n"
        )
        return INTERRUPTED
    quality = result.evaluation
    sys.stdout.write(
        f"{result.name}: {100 * quality.accuracy:.2f} % of {quality.images:,} validation images right, "
        f"expected calibration error {quality.calibration_error:.4f}\n"
        f"Written to {result.package}; its README.md tells more. To serve it:\n"
        f"  vit-serve serve --model {shlex.quote(str(result.package))}\n"
    )
    return 0


def _config(args: Namespace) -> "RunConfig":
    from app.engine.runners.device import choose_device
    from app.training.recipe import Recipe, load_recipe
    from app.training.run import RunConfig, choose_precision

    recipe = load_recipe(args.recipe) if args.recipe else Recipe()
    names = ("variant", "epochs", "batch_size", "learning_rate", "seed")
    try:
        recipe = replace(recipe, **{name: value for name in names if (value := getattr(args, name)) is not None})
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
        keep_checkpoint=not args.discard_checkpoint,
        out_of_scope=args.out_of_scope,
        data_note=" ".join(args.data_note.split()),
    )


def _tag(args: Namespace) -> str:
    """The name given, which must be fit for a model's name, or one made from the data's."""
    if args.name is None:
        return re.sub(r"[^A-Za-z0-9._-]+", "-", args.data.resolve().stem).strip(".-") or "data"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", args.name):
        raise ArgumentError(None, f"--name is {args.name!r}, but it should be of letters, digits, dots, - and _ only")
    return str(args.name)
