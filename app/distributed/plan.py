"""Owns what is to be done: files, archives and tables found in the inputs, cut into shards; does not read pictures."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import pyarrow as arrow
import pyarrow.parquet as parquet

from app.bulk.folders import TARS
from app.distributed.places import Place, place
from app.errors import DatasetError, printable
from app.imaging.files import is_image

Kind = Literal["files", "tar", "parquet"]
_FOOTERS_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Unit:
    """The least that can be asked for: a file, a whole tar archive, or the `row_group`-th rows of a Parquet file.

    `images`: how many are in it, 0 for an archive, of which only reading it tells.
    """

    kind: Kind
    url: str
    row_group: int = 0
    images: int = 1

    @property
    def key(self) -> str:
        """Names it among all."""
        return f"{self.url}#row_group={self.row_group}" if self.kind == "parquet" else self.url


@dataclass(frozen=True, slots=True)
class Shard:
    """Units of one kind whose answers are one file; of a table the row groups of one."""

    name: str
    kind: Kind
    urls: tuple[str, ...]
    row_groups: tuple[int, ...] = ()

    @property
    def keys(self) -> Iterator[str]:
        """Of its units."""
        if self.kind == "parquet":
            return (Unit("parquet", self.urls[0], group).key for group in self.row_groups)
        return iter(self.urls)

    def to_json(self) -> str:
        """One line, ASCII only: names of files may be bytes that are no text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Shard":
        """What `to_json` wrote."""
        value: dict[str, Any] = json.loads(text)
        return cls(value["name"], value["kind"], tuple(value["urls"]), tuple(value["row_groups"]))


def find_units(paths: Sequence[str], image_column: str, output: Place) -> list[Unit]:
    """What the inputs hold, each once, in order; nothing below `output`. Raises DatasetError, SetupError.

    A path is a picture, an archive, a table, or a folder of them; with `*` in it, all that fit.
    """
    found = [unit for path in paths for unit in _in(path)]
    own = output.url.rstrip("/") + "/"
    units = {unit.url: unit for unit in found if not unit.url.startswith(own)}
    if not units:
        raise DatasetError(
            f"{printable(', '.join(paths))}: holds no pictures, no .tar archives and no .parquet tables of them"
        )
    tables = [unit.url for unit in units.values() if unit.kind == "parquet"]
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as threads:
        groups = dict(zip(tables, threads.map(lambda url: _row_groups(url, image_column), tables), strict=True))
    return [each for unit in units.values() for each in groups.get(unit.url, [unit])]


def cut(units: Sequence[Unit], images: int, prefix: str) -> list[Shard]:
    """Shards of about as many `images`; an archive is one of its own. Each unit is in exactly one."""
    groups: list[list[Unit]] = []
    size = 0
    for unit in units:
        last = groups[-1][-1] if groups else None
        together = last is not None and unit.kind == last.kind and (unit.kind == "files" or unit.url == last.url)
        if together and unit.kind != "tar" and size < images:
            groups[-1].append(unit)
            size += unit.images
        else:
            groups.append([unit])
            size = unit.images
    return [_shard(f"{prefix}-{number:06}", group) for number, group in enumerate(groups)]


def _shard(name: str, units: Sequence[Unit]) -> Shard:
    if units[0].kind == "parquet":
        return Shard(name, "parquet", (units[0].url,), tuple(unit.row_group for unit in units))
    return Shard(name, units[0].kind, tuple(unit.url for unit in units))


def _in(path: str) -> Iterator[Unit]:
    root = place(path)
    if "*" in path and not root.exists():
        matches = sorted(map(str, root.fs.glob(root.path)))
        if not matches:
            raise DatasetError(f"{printable(path)}: nothing fits this pattern")
        for match in matches:
            yield from _below(Place(root.fs, match))
    else:
        yield from _below(root)


def _below(root: Place) -> Iterator[Unit]:
    kind = _kind(root.path)
    # A web server is not asked whether a picture is a folder: it would send the picture for an answer.
    if (kind and not root.is_local and root.exists()) or not root.is_folder():
        yield Unit(kind or "files", root.url)
        return
    for name in root.files():
        if kind := _kind(name):
            yield Unit(kind, root.child(name).url)


def _kind(name: str) -> Kind | None:
    lower = name.lower()
    if lower.endswith(TARS):
        return "tar"
    if lower.endswith(".parquet"):
        return "parquet"
    return "files" if is_image(name) else None


def _row_groups(url: str, column: str) -> list[Unit]:
    table = place(url)
    try:
        with table.fs.open(table.path, "rb") as file:
            metadata = parquet.ParquetFile(file).metadata
            schema = metadata.schema.to_arrow_schema()
            counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    except Exception as error:  # each store has errors of its own
        raise DatasetError(f"{printable(url)}: no Parquet that can be read: {printable(str(error))}") from error
    if column not in schema.names:
        names = ", ".join(map(repr, schema.names[:20]))
        raise DatasetError(f"{printable(url)}: has no column {column!r}; --image-column takes one of: {names}")
    kind = schema.field(column).type
    if arrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind) or arrow.types.is_binary_view(kind)):
        raise DatasetError(f"{printable(url)}: column {column!r} holds {kind}, not the bytes of pictures")
    return [Unit("parquet", url, group, count) for group, count in enumerate(counts)]
