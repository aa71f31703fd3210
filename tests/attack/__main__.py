"""Owns `python -m tests.attack`: options, table, exit code; does not attack.

Exits with 1 and the reasons if an attack got through.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import skimage.data
from PIL import Image
from rich.console import Console
from rich.table import Table

from tests.attack.registry import ATTACKS
from tests.attack.suite import run
from tests.attack.verdict import COLUMNS, complaints, doubtful, row
from tests.benchmark.photographs import write_photographs
from tests.imaging.files import encode


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", help="attacks whose name has this in it; repeatable")
    parser.add_argument("--seconds", type=float, default=1.75, help="of each attack")
    parser.add_argument("--list", action="store_true", help="name them and end")
    args = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 200, soft_wrap=False)
    chosen = [each for each in ATTACKS.values() if not args.only or any(part in each.name for part in args.only)]
    if args.list or not chosen:
        for attack in chosen:
            console.print(f"{attack.name}: {' '.join((attack.run.__doc__ or '').split())}", highlight=False)
        return 0 if args.list else 2
    table = Table(*COLUMNS)
    failed: dict[str, list[str]] = {}
    started_at = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder))
        images = [_small_cat(), *(file.read_bytes() for file in sorted(Path(folder).glob("*.jpg")))]
        for seen in run(chosen, args.seconds, images, Path(folder), doubtful):
            table.add_row(*row(seen))
            console.print(f"{time.monotonic() - started_at:4.0f} s  {seen.name}: {row(seen)[-1]}", highlight=False)
            failed[seen.name] = complaints(seen)  # of an attack that was tried again the second time counts
    console.print(table)
    for name, found in failed.items():
        for sentence in found:
            console.print(f"{name}: {sentence}", highlight=False, markup=False)
    return 1 if any(failed.values()) else 0


def _small_cat() -> bytes:
    """What an attacker sends where the picture does not matter."""
    return encode(Image.fromarray(skimage.data.chelsea()).resize((90, 60)), "JPEG")


if __name__ == "__main__":
    sys.exit(main())
