"""Owns `vit-serve build`; does not make graphs by itself."""

import shlex
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path


def configure(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.description = (
        "Makes a model package that carries its graph for OpenVINO, so that a service needs neither torch nor the "
        "seconds of exporting it: for images, and for init containers. MODEL is what --model of `serve` takes."
    )
    parser.add_argument("model", metavar="MODEL", help="a model, such as embedded or hf-hub:owner/name")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write, not there yet")


def run(args: Namespace) -> int:
    """Builds; returns the exit code. Raises SetupError."""
    from app.graphs.build import build_package
    from app.package.whole import written_anew

    with written_anew(args.out) as draft:
        description, _ = build_package(args.model, draft)
    sys.stdout.write(f"{description.name}, with its graph for OpenVINO, written to {args.out}. To serve it:\n")
    sys.stdout.write(f"  vit-serve serve --model {shlex.quote(str(args.out))}\n")
    return 0
