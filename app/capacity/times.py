"""Owns what one replica takes for its work, as a JSON file; does not measure it or simulate anything."""

import json
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from app.errors import SetupError, printable
from app.scheduling.policy import AdmissionPolicy, service_admission

FORMAT: Final = "vit-serve service times 1"
_BENCHMARK_SECTION: Final = "capacity"

Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
Points = tuple[tuple[int, Seconds], ...]


class ServiceTimes(BaseModel):
    """One replica. Times are in seconds; those of cores are of a core that does nothing else.

    `batch_s` and `alone_s` are pairs (images, seconds), ascending: a batch in a lane while others are busy, and in one
    that is alone. What lies between two points is on the line through them, what lies outside on that of the nearest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    format: str = FORMAT
    model: str = ""
    engine: str = ""
    precision: str = ""
    cores: Annotated[float, Field(gt=0, le=4096, allow_inf_nan=False)]
    lanes: Annotated[int, Field(ge=1, le=1024)]
    decode_threads: Annotated[int, Field(ge=1, le=1024)]
    max_batch_size: Annotated[int, Field(ge=1, le=1024)]
    slots: Annotated[int, Field(ge=1, le=65536)] = 256
    max_images_per_request: Annotated[int, Field(ge=1, le=4096)] = 32
    max_wait_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 500.0
    request_timeout_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30_000.0
    decode_s: tuple[Seconds, ...]  # of pictures as they come; each is as likely as another
    batch_s: Points
    alone_s: Points = ()
    lane_cores: Annotated[float, Field(ge=0, le=4096)] = 1.0  # cores that a busy lane keeps busy
    alone_cores: Annotated[float, Field(ge=0, le=4096)] = 1.0
    http_s: Seconds = 0.0  # the event loop, for a request that is answered …
    refused_s: Seconds = 0.0  # … and for one that is refused
    hop_s: Seconds = 0.0  # until threads have woken each other, and the client: costs no core
    start_s: Seconds = 0.0  # from a process's start until /readyz says 200

    @field_validator("decode_s", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | float) else value

    @field_validator("batch_s", "alone_s")
    @classmethod
    def _ascending(cls, points: Points) -> Points:
        sizes = [size for size, _ in points]
        if sizes != sorted(set(sizes)) or (sizes and sizes[0] < 1):
            raise ValueError("the numbers of images should be at least 1 and ascending")
        return points

    @model_validator(mode="after")
    def _complete(self) -> "ServiceTimes":
        if self.format != FORMAT:
            raise ValueError(f"format is {self.format!r}, and {FORMAT!r} is what this version reads")
        if not self.batch_s or not self.decode_s:
            raise ValueError("batch_s and decode_s should have at least one entry")
        if max(self.batch_seconds(self.max_batch_size), sum(self.decode_s)) <= 0:
            raise ValueError("a batch should take some time")
        return self

    def batch_seconds(self, images: int) -> float:
        """How long a lane takes for a batch while others are busy."""
        return _on_line(self.batch_s, images)

    def alone_seconds(self, images: int) -> float:
        """How long a lane that is alone takes for a batch."""
        return _on_line(self.alone_s, images) if self.alone_s else self.batch_seconds(images)

    @property
    def admission(self) -> AdmissionPolicy:
        """When the service refuses at the door, as its bootstrap does."""
        return service_admission(self.max_wait_ms / 1000, self.lanes, self.max_batch_size, self.max_images_per_request)

    @property
    def images_per_s(self) -> float:
        """What no replica can exceed: images a second where the tightest of cores, lanes, decoders and loop is busy."""
        decode_s, batch_s = sum(self.decode_s) / len(self.decode_s), self.batch_seconds(self.max_batch_size)
        image_s = batch_s / self.max_batch_size
        core_s = decode_s + self.http_s + self.lane_cores * image_s
        tightest = max(core_s / self.cores, image_s / self.lanes, decode_s / self.decode_threads, self.http_s)
        return 1 / tightest


def parse_times(document: object, name: str) -> ServiceTimes:
    """`document`: what a JSON file `name` holds, `--measure`'s or a benchmark's. Raises SetupError in one line."""
    if isinstance(document, dict) and "decode_s" not in document and _BENCHMARK_SECTION in document:
        figures = document[_BENCHMARK_SECTION]
        document = figures.get("figures", {}).get("times") if isinstance(figures, dict) else None
    if not isinstance(document, dict):
        raise SetupError(
            printable(f"{name}: it holds no service times; `vit-serve capacity --measure FILE` writes them")
        )
    try:
        return ServiceTimes.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "service times"
        reason = first["msg"].removeprefix("Value error, ")
        raise SetupError(printable(f"{name}: {where}: {reason}")) from error


def read_times(path: Path) -> ServiceTimes:
    """Raises SetupError in one line for what cannot be read or is no such file."""
    return parse_times(read_json(path), str(path))


def read_json(path: Path) -> Any:
    """Raises SetupError in one line for what cannot be read or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SetupError(printable(f"{path}: it cannot be read: {error.strerror}")) from error
    except (ValueError, RecursionError) as error:
        raise SetupError(printable(f"{path}: it is no JSON: {error}")) from error


def _on_line(points: Points, images: int) -> float:
    """The seconds on the line through the two points next to `images`; never less than nothing."""
    if len(points) == 1:
        return points[0][1]
    at = next((i for i in range(1, len(points) - 1) if points[i][0] >= images), len(points) - 1)
    (left, low), (right, high) = points[at - 1], points[at]
    return max(0.0, low + (high - low) * (images - left) / (right - left))
