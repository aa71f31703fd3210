"""Owns `vit-serve`: choosing the command, and turning errors into exit codes; does not do any command's work.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import app
from app.cli import bench, build, capacity, classify, convert, evaluate, inspect, models, quantize, serve, train
from app.errors import VitServeError

_DESCRIPTION: Final = "Serves Vision Transformers: a photograph goes in, the most likely classes come out."
_EPILOG: Final = (
    "Start here: `vit-serve classify PHOTO.jpg` tells what the picture shows; `vit-serve serve` does the same "
    "over HTTP. `vit-serve COMMAND --help` explains a command and its options."
)


@dataclass(frozen=True, slots=True)
class Command:
    """`configure` adds the options; `run` does the work and returns the exit code."""

    summary: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS: Final = {
    "serve": Command("answer requests over HTTP until stopped", serve.configure, serve.run),
    "classify": Command("tell what is in image files, without a server", classify.configure, classify.run),
    "evaluate": Command(
        "measure a model or a running server on images of known classes", evaluate.configure, evaluate.run
    ),
    "train": Command("make a model package from a folder or zip of images", train.configure, train.run),
    "convert": Command("make a model package of another library's weights, or back", convert.configure, convert.run),
    "build": Command("make a model package that is served without torch", build.configure, build.run),
    "quantize": Command("make a model package in int8, with proof", quantize.configure, quantize.run),
    "capacity": Command("tell how many replicas a load needs, and what they cost", capacity.configure, capacity.run),
    "bench": Command("load a server and tell its throughput and latency", bench.configure, bench.run),
    "inspect": Command("show what a model is made of and where it looks", inspect.configure, inspect.run),
    "models": Command("list what can be served and how to name it", models.configure, models.run),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0 done, 1 failed, 2 misused, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    if name is not None and name not in COMMANDS:
        return _fail("vit-serve", _unknown(name), 2)
    parser = _parser(name)
    args = parser.parse_args(arguments)
    if args.version:
        sys.stdout.write(f"vit-serve {app.__version__}\n")
        return 0
    if name is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        code = COMMANDS[name].run(args)
        sys.stdout.flush()  # here, where a reader that has left can still be noticed
        return code
    except argparse.ArgumentError as error:
        return _fail(f"vit-serve {name}", str(error), 2)
    except VitServeError as error:
        return _fail("vit-serve", str(error), 1)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return _fail("vit-serve", f"`{name}` needs torch, which is not installed here", 1)
    except KeyboardInterrupt:
        return train.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush complains
        return 1


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The options of the chosen command only: those of `serve` take a library to find out."""
    parser = argparse.ArgumentParser("vit-serve", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    choices = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, command in COMMANDS.items():
        description = command.summary[0].upper() + command.summary[1:] + "."
        subparser = choices.add_parser(name, help=command.summary, description=description, allow_abbrev=False)
        if name == chosen:
            command.configure(subparser)
    return parser


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(COMMANDS)}"
    return f"there is no command {name!r}; {hint}"


def _fail(who: str, message: str, code: int) -> int:
    sys.stderr.write(f"{who}: error: {message}\n")
    return code
