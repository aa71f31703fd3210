"""Owns small pictures, archives and tables of them; does not test."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def png(number: int) -> bytes:
    """One of its own for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def save_png(path: Path, number: int) -> None:
    """Makes its folders, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(number))


def save_tar(path: Path, members: Sequence[tuple[str, bytes]], mode: str = "w") -> None:
    """As WebDataset has them."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def save_table(path: Path, values: Sequence[Any], rows: int = 1000, column: str = "image") -> None:
    """A Parquet file with `rows` in a group."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.table({column: list(values)}), path, row_group_size=rows, compression="none")
