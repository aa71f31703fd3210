"""Owns `python -m app`, which is `vit-serve`; does nothing else."""

import sys

from app.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
