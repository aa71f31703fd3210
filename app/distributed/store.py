"""Owns the folder of results: whose they are, the plan, one Parquet file a shard; does not classify.

    OUT/_run.json           the model and all else that answers depend on
    OUT/_plan/0000.jsonl.gz shards, one a line; a later run adds a file with what is new, and changes none
    OUT/part-0000-000000.parquet
                            the answers of a shard, there whole or not at all

Every image is in exactly one shard, every shard is one file, and a file is written at once: so however often a shard
is tried, by however many nodes, each image has one row in the end. What begins with `_` readers of Parquet leave out.
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as arrow
import pyarrow.parquet as parquet

from app.bulk.row_table import SCHEMA
from app.distributed.places import Place
from app.distributed.plan import Shard
from app.errors import SetupError, printable

_RUN: Final = "_run.json"
_PLAN: Final = "_plan"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one shard: how many rows it has, and how many of them are no answers."""

    name: str
    images: int
    failed: int


@dataclass(frozen=True, slots=True)
class Store:
    """The folder of results."""

    folder: Place

    def claim(self, run: dict[str, Any]) -> None:
        """Notes whose answers these are. Raises SetupError where they are already another run's."""
        try:
            self.folder.child(_RUN).write(json.dumps(run, indent=1).encode(), new=True)
        except FileExistsError:
            there = self.run()
            if different := [name for name in run if run[name] != there.get(name)]:
                name = different[0]
                raise SetupError(
                    f"{printable(self.folder.url)}: holds answers with {name} {there.get(name)!r}, not {run[name]!r}: "
                    "name another folder, or the same options"
                ) from None

    def run(self) -> dict[str, Any]:
        """What `claim` noted. Raises SetupError where there is nothing of that kind."""
        try:
            value = json.loads(self.folder.child(_RUN).read())
        except Exception as error:  # each store has errors of its own
            raise SetupError(
                f"{printable(self.folder.url)}: {_RUN} cannot be read; --out must be an object store or a folder that "
                f"every node sees: {printable(str(error))}"
            ) from error
        if not isinstance(value, dict):
            raise SetupError(f"{printable(self.folder.url)}: {_RUN} is not ours")
        return value

    def plans(self) -> list[list[Shard]]:
        """What was planned so far. Raises SetupError for a file that is not ours."""
        plans: list[list[Shard]] = []
        while (file := self._plan(len(plans))).exists():
            try:
                lines = gzip.decompress(file.read()).decode().splitlines()
                plans.append([Shard.from_json(line) for line in lines])
            except Exception as error:
                raise SetupError(f"{printable(file.url)}: no plan that can be read: {printable(str(error))}") from error
        return plans

    def add_plan(self, number: int, shards: Sequence[Shard]) -> None:
        """Adds what is new. Raises SetupError where another run has just done so."""
        if self.folder.is_local:
            self.folder.fs.makedirs(f"{self.folder.path}/{_PLAN}", exist_ok=True)
        data = gzip.compress("\n".join(shard.to_json() for shard in shards).encode(), mtime=0)
        try:
            self._plan(number).write(data, new=True)
        except FileExistsError:
            raise SetupError(f"{printable(self.folder.url)}: another run is writing there; wait for it") from None

    def done(self) -> set[str]:
        """Names of the shards that have their file."""
        names = (name for name in self.folder.files() if name.startswith("part-") and name.endswith(".parquet"))
        return {name.removeprefix("part-").removesuffix(".parquet") for name in names}

    def outcome(self, name: str) -> Outcome | None:
        """Of a shard that has its file; None for another."""
        part = self._part(name)
        if not part.exists():
            return None
        with part.fs.open(part.path, "rb") as file:
            metadata = parquet.ParquetFile(file).schema_arrow.metadata
        return Outcome(name, int(metadata[b"images"]), int(metadata[b"failed"]))

    def write(self, name: str, rows: Sequence[dict[str, Any]]) -> Outcome:
        """The answers of a shard, in place of what an earlier attempt may have written."""
        failed = sum(row["code"] is not None for row in rows)
        schema = SCHEMA.with_metadata({"images": str(len(rows)), "failed": str(failed)})
        sink = arrow.BufferOutputStream()
        parquet.write_table(arrow.Table.from_pylist(list(rows), schema), sink, compression="zstd")
        self._part(name).write(sink.getvalue().to_pybytes())
        return Outcome(name, len(rows), failed)

    def _plan(self, number: int) -> Place:
        return self.folder.child(f"{_PLAN}/{number:04}.jsonl.gz")

    def _part(self, name: str) -> Place:
        return self.folder.child(f"part-{name}.parquet")
