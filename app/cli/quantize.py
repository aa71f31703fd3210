"""Owns `vit-serve quantize`: options, and images into pixels; does not quantise or judge."""

import shlex
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import DatasetError

if TYPE_CHECKING:
    from app.package.description import PackageDescription
    from app.quantising.run import Images

_DESCRIPTION: Final = (
    "Makes a model package that also carries the network in int8, which many CPUs run twice as fast. Ranges are taken "
    "from some of the images and the result is judged on others; what is not good enough is refused, with the figures. "
    "MODEL is what --model of `serve` takes. Where the images lie in folders named after the model's classes accuracy "
    "decides, otherwise how often the best class stays the same, or of scores by sigmoid how often all stay within 0.1."
)


def configure(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.description = _DESCRIPTION
    parser.add_argument("model", metavar="MODEL", help="a model, such as embedded or a package's folder")
    parser.add_argument("--images", type=Path, required=True, metavar="DATA", help="folder or zip of images")
    parser.add_argument("--out", type=Path, required=True, metavar="PACKAGE", help="folder to write, not there yet")
    parser.add_argument(
        "--agreement", type=float, default=0.99, metavar="SHARE", help="least share of equal best classes (0.99)"
    )
    parser.add_argument(
        "--accuracy-loss", type=float, default=0.005, metavar="SHARE", help="most accuracy to lose (0.005)"
    )
    parser.add_argument("--calibration", type=int, default=300, metavar="N", help="images to take ranges from (300)")
    parser.add_argument("--judged", type=int, default=3000, metavar="N", help="other images to judge on (3000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which images are drawn (0)")
    parser.add_argument("--skip-broken", action="store_true", help="leave out files that cannot be read")
    parser.add_argument(
        "--without-float", action="store_true", help="leave the float32 graph out; a first start then makes it"
    )


def run(args: Namespace) -> int:
    """Quantises and tells about it; returns the exit code. Raises ArgumentError, SetupError."""
    for name in ("agreement", "accuracy_loss"):
        if not 0 <= getattr(args, name) <= 1:
            raise ArgumentError(None, f"--{name.replace('_', '-')} is {getattr(args, name)}, but it should be 0 … 1")
    if args.calibration < 1 or args.judged < 1 or args.seed < 0:
        raise ArgumentError(None, "--calibration and --judged should be at least 1, --seed at least 0")
    from app.graphs.build import build_package, leave_out_float
    from app.package.whole import written_anew
    from app.quantising.card import figures
    from app.quantising.judge import Limits
    from app.quantising.recipes import check_nncf
    from app.quantising.run import check_scores, quantize_package, this_machine

    with written_anew(args.out) as draft:
        check_nncf()
        description, key = build_package(args.model, draft)
        check_scores(description)
        images = _read(args, description)
        limits = Limits(args.agreement, args.accuracy_loss)
        facts = quantize_package(draft, description, key, images, limits, this_machine(), _say)
        if args.without_float:
            leave_out_float(draft, key)
    sys.stdout.write(f"{description.name}, judged on {facts.comparison.images} images: float32, int8\n")
    for what, before, after in figures(facts):
        sys.stdout.write(f"  {what}: {before or '-'}, {after}\n")
    sys.stdout.write(f"Written to {args.out}. To serve it:\n  vit-serve serve --model {shlex.quote(str(args.out))}\n")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"vit-serve quantize: {text}\n")


def _read(args: Namespace, description: "PackageDescription") -> "Images":
    """Draws images and decodes them as serving does. Raises DatasetError."""
    from app.quantising.run import Images, split
    from app.training.broken import BrokenFile
    from app.training.dataset import ImageFiles, class_of, read_pixels

    numbers = {label.casefold(): number for number, label in reversed(list(enumerate(description.labels)))}
    with ImageFiles(args.images) as files:
        calibration, judged = split(len(files.names), args.calibration, args.judged, args.seed)
        skipped: list[BrokenFile] | None = [] if args.skip_broken else None
        names = [[files.names[at] for at in each] for each in (calibration, judged)]
        read = [read_pixels(files, each, description.preprocess, skipped=skipped) for each in names]
    if skipped:
        _say(f"{len(skipped)} files cannot be read and are left out, the first: {skipped[0].name}: {skipped[0].reason}")
    if not all(len(found) for found, _ in read):
        raise DatasetError(f"{args.images}: too few of its images can be read")
    found = [numbers.get(class_of(name).casefold()) for name in read[1][0]]
    truths = tuple(number for number in found if number is not None)
    known = len(truths) == len(found)
    return Images(args.images.name, read[0][1], read[1][1], truths if known else None)
