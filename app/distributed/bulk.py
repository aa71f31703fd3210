"""Owns a bulk run: the plan, a cluster, who works on what is missing; does not read pictures or write rows."""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import ray

from app.distributed.places import output_place
from app.distributed.plan import Shard, Unit, cut, find_units
from app.distributed.pool import Pool, Share, line_of
from app.distributed.store import Outcome, Store
from app.distributed.worker import Job, Looked, look
from app.errors import DeviceError, SetupError, VitServeError, printable
from app.settings import Settings
from app.version import VERSION

_PATIENCE_S: Final = 15.0
_ANSWER_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. `address`: of the cluster, or `local` for one of this machine; `top_k` None: the default.

    `shard_images`: how many images a result file is to have; `workers`, `worker_cpus` 0: what the cluster has room for.
    """

    paths: tuple[str, ...]
    out: str
    address: str
    image_column: str = "image"
    top_k: int | None = None
    shard_images: int = 1000
    workers: int = 0
    worker_cpus: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: shards, those of earlier runs among the done; images of this run, those without answer among them.

    `images_per_s`: of this run, from its first shard on if it has several, for until then workers start.
    """

    shards: int
    done: int
    before: int
    images: int = 0
    failed: int = 0
    images_per_s: float = 0.0


def classify_in_bulk(
    request: Request, settings: Settings, listen: Callable[[Progress], None], note: Callable[[str], None]
) -> Progress:
    """Classifies what has no row in `request.out` yet; `note` is told what a person should know.

    Raises SetupError: the cluster or model cannot be had, there is nothing to read, `out` is another run's or cannot be
    written, workers died of the same shard again and again.
    """
    store = Store(output_place(request.out))
    units = find_units(request.paths, request.image_column, store.folder)
    with _cluster(request.address):
        share = _share(settings, request.worker_cpus)
        given = settings.model_dump(include=settings.model_fields_set | {"threads"})
        given["threads"] = settings.threads or int(share.cpus)
        looked = _look(given, request.top_k, share, note)
        if looked.notice:
            note(looked.notice)
        options = {name: getattr(settings, name) for name in ("decode", "color")}
        run = {"model": looked.name, "sha256": looked.sha256, "top_k": looked.top_k, **options}
        shards, done = _planned(store, run, units, request.shard_images)
        missing = [shard for shard in shards if shard.name not in done]
        job = Job(given, looked.sha256, looked.top_k, request.image_column, store.folder.url)
        progress = Progress(len(shards), len(shards) - len(missing), len(shards) - len(missing))
        tally = _Tally(len(shards), len(missing))
        for outcome in Pool(job, share, request.workers, note).outcomes(missing):
            progress = tally.add(outcome)
            listen(progress)
        return progress


def _planned(store: Store, run: dict[str, Any], units: list[Unit], shard_images: int) -> tuple[list[Shard], set[str]]:
    """All shards, those of earlier runs as they were and new ones for what is in none of them; and which are done."""
    try:
        store.claim(run)
        plans = store.plans()
        planned = {key for plan in plans for shard in plan for key in shard.keys}
        if new := [unit for unit in units if unit.key not in planned]:
            plans.append(cut(new, shard_images, f"{len(plans):04}"))
            store.add_plan(len(plans) - 1, plans[-1])
        return [shard for plan in plans for shard in plan], store.done()
    except VitServeError:
        raise
    except Exception as error:  # each store has errors of its own
        raise SetupError(f"{printable(store.folder.url)}: cannot be written: {line_of(error)}") from error


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """Connected to it; what Ray does not say itself is not printed. Raises SetupError."""
    local = {"include_dashboard": False} if address == "local" else {}
    _check_answers(address)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except Exception as error:  # of several kinds: no answer, another Python, another Ray
        raise SetupError(f"no Ray cluster at {printable(address)}: {line_of(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Ray itself asks an address where nobody listens for two minutes. Raises SetupError."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "//" not in host:
        try:
            socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
        except (OSError, OverflowError) as error:
            raise SetupError(
                f"no Ray cluster at {printable(address)}: {error}; `ray start --head` prints the address to use"
            ) from error


def _share(settings: Settings, worker_cpus: int) -> Share:
    """A worker has a node to itself, or a GPU and its part of the cores. Raises DeviceError if no node has as much."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1]
    wants_gpu = settings.device.startswith("cuda") or (settings.device == "auto" and bool(with_gpu))
    if wants_gpu and not with_gpu:
        raise DeviceError(f"--device {settings.device}: no node of the cluster has a GPU")
    fitting = with_gpu if wants_gpu else [node for node in nodes if node.get("CPU", 0) >= 1]
    if not fitting:
        raise DeviceError("no node of the cluster offers a CPU")
    each = min(node.get("CPU", 0) // (node["GPU"] if wants_gpu else 1) for node in fitting)
    cpus = worker_cpus or max(int(each), 1)
    if not any(node.get("CPU", 0) >= cpus for node in fitting):
        raise DeviceError(f"--worker-cpus {cpus}: the largest node has {max(n.get('CPU', 0) for n in fitting):.0f}")
    return Share(cpus, 1.0 if wants_gpu else 0.0)


def _look(settings: dict[str, Any], top_k: int | None, share: Share, note: Callable[[str], None]) -> Looked:
    """What a node says about the model. Raises SetupError."""
    remote = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_calls=1)(look)
    try:
        answer = remote.remote(settings, top_k)
        if not ray.wait([answer], timeout=_PATIENCE_S)[0]:
            note("waiting for the first worker to load the model")
        looked: Looked = ray.get(answer)
    except Exception as error:  # of several kinds: the code is missing there, the node went
        raise SetupError(f"no node could open the model: {line_of(error)}") from error
    if looked.error is not None:
        raise SetupError(looked.error)
    if looked.version != VERSION:
        raise SetupError(f"the cluster's nodes have vit-serve {looked.version}, here is {VERSION}: install the same")
    return looked


class _Tally:
    """Outcome after outcome → Progress."""

    def __init__(self, shards: int, missing: int) -> None:
        self._shards, self._before = shards, shards - missing
        self._began_at = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._done = self._images = self._failed = 0

    def add(self, outcome: Outcome) -> Progress:
        now = time.monotonic()
        self._done += 1
        self._images += outcome.images
        self._failed += outcome.failed
        since, counted = self._first or (self._began_at, 0)
        self._first = self._first or (now, self._images)
        rate = (self._images - counted) / max(now - since, 1e-6)
        done = self._before + self._done
        return Progress(self._shards, done, self._before, self._images, self._failed, rate)
