"""Owns measuring what one replica takes for its work, alone and as a server; does not simulate or parse options."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.capacity.fit import Closed, fitted
from app.capacity.times import Points, ServiceTimes
from app.cli.service_load import PATH, Engine, serving
from app.domain import PreprocessSpec
from app.engine.allowance import allowed_cores
from app.engine.choose import open_model
from app.engine.client import Runner
from app.engine.opened import Opened, Wish
from app.errors import SetupError
from app.imaging.price import DecodeLimits
from app.imaging.resample import preprocess
from app.settings import Settings

Numbers = npt.NDArray[np.float64]
_NOOP: Final = "noop"
_FEW: Final = (1, 4)  # clients: one image at a time; small batches
_FULL: Final = 3  # clients for each place in a batch: one batch runs, one waits, and one is on its way
_PATIENT_MS: Final = 60_000.0  # they are not to be refused
_WARM_S: Final = 1.0
_ALL_SIZES: Final = 16  # batches up to which every size is measured; beyond it powers of two
_UNDISTURBED: Final = 0.25  # quantile of times at which other work on the machine has not lengthened them


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: the settings of the service, the flags that give them to another process, and the pictures."""

    settings: Settings
    flags: tuple[str, ...]
    bodies: tuple[bytes, ...]
    seconds: float  # that each figure is measured


def measure(subject: Subject, say: Callable[[str], None]) -> ServiceTimes:
    """Measures decoding and batches in this process, then HTTP and contention on servers of its own.

    Raises SetupError if the model cannot be had, a picture cannot be decoded or a server does not start.
    """
    settings, bodies = subject.settings, subject.bodies
    cores = settings.threads or allowed_cores()
    say("opening the model")
    model = _open(settings, cores)
    limits = _limits(settings, model)
    say("decoding")
    decode_s = _decode_s(bodies, model.description.preprocess, limits, subject.seconds)
    noop_decode_s = statistics.fmean(_decode_s(bodies, PreprocessSpec(), limits, subject.seconds / 2))
    say("batches in one lane")
    batches = _lanes(model, subject.seconds)
    say("HTTP, with no model behind it")
    with serving(_NOOP, subject.flags, bodies) as (server, _):
        server.load(1, _WARM_S, PATH)
        bare = server.load(_FEW[-1], subject.seconds, PATH)
        lone = server.load(1, subject.seconds / 2, PATH)
        refused = server.load(_FEW[-1], subject.seconds / 2, f"{PATH}?top_k=0")  # as soon, and for as little
    say("the service, with few clients and many")
    clients = (*_FEW, _FULL * batches.lanes * model.max_batch_size)
    with serving(settings.model, (*subject.flags, "--max-wait-ms", str(_PATIENT_MS)), bodies) as (server, start_s):
        _check_same(server.engine(), (model.engine, model.precision, batches.lanes))
        server.load(clients[-1], _WARM_S, PATH)
        loads = [server.load(connections, subject.seconds, PATH) for connections in clients]
    http_s = max(bare.cpu_s - noop_decode_s, 1e-5)
    times = ServiceTimes(
        model=model.description.name,
        engine=model.engine,
        precision=model.precision,
        cores=cores,
        lanes=batches.lanes,
        decode_threads=settings.decode_threads or cores,
        max_batch_size=model.max_batch_size,
        slots=settings.slots,
        max_images_per_request=settings.max_images_per_request,
        max_wait_ms=settings.max_wait_ms,
        request_timeout_ms=settings.request_timeout_ms,
        decode_s=decode_s,
        batch_s=batches.batch_s,
        alone_s=batches.alone_s,
        lane_cores=batches.lane_cores,
        alone_cores=batches.alone_cores,
        http_s=http_s,
        refused_s=refused.cpu_s,
        hop_s=max(lone.p50_s - http_s - noop_decode_s, 0.0),
        start_s=start_s,
    )
    say("what follows from it")
    runs = [Closed(n, run.answers_per_s, run.client_cores) for n, run in zip(clients, loads, strict=True)]
    patient = times.model_copy(update={"max_wait_ms": _PATIENT_MS})
    return fitted(patient, runs).model_copy(update={"max_wait_ms": settings.max_wait_ms})


def _open(settings: Settings, cores: int) -> Opened:
    """As the service opens it."""
    wish = Wish(
        *(settings.engine, settings.device, settings.precision, cores, settings.max_batch_size),
        cache_directory=settings.cache_directory,
    )
    return open_model(settings.model, wish)


def _limits(settings: Settings, model: Opened) -> DecodeLimits:
    """How the service decodes for that model."""
    scaled = settings.decode == "scaled"
    return DecodeLimits(
        *(settings.max_pixels, settings.max_decode_bytes, settings.color == "convert"),
        *(scaled, scaled and not model.description.convolutional),
    )


def _check_same(served: Engine, measured: Engine) -> None:
    """Raises SetupError if the server, which chose anew, took another engine."""
    if served != measured:
        raise SetupError(
            f"the server chose {served} and this process {measured}, as (engine, precision, lanes): name it, such "
            f"as --engine {served[0]} --precision {served[1]}, so that both are the same"
        )


def _decode_s(bodies: Sequence[bytes], spec: PreprocessSpec, limits: DecodeLimits, seconds: float) -> tuple[float, ...]:
    """CPU seconds of each picture: the median of several times. Raises what decoding raises."""
    out = np.empty((spec.height, spec.width, 3), np.uint8)
    took: list[list[float]] = [[] for _ in bodies]
    until = time.monotonic() + seconds
    while not took[-1] or (time.monotonic() < until and len(took[-1]) < 100):
        for body, each in zip(bodies, took, strict=True):
            started_at = time.thread_time()
            preprocess(bytearray(body), spec, limits, out)
            each.append(time.thread_time() - started_at)
    return tuple(statistics.median(each) for each in took)


class _Lanes(NamedTuple):
    lanes: int
    batch_s: Points
    lane_cores: float
    alone_s: Points
    alone_cores: float


def _lanes(model: Opened, seconds: float) -> _Lanes:
    """Batches of every size that matters, in a lane that has its share of the cores and in one that has them all."""
    spec, most = model.description.preprocess, model.max_batch_size
    pixels = np.random.default_rng(0).integers(0, 256, (most, spec.height, spec.width, 3), np.uint8)
    runners = model.runners(pixels)
    runner = runners[0]
    runner.warm_up()
    powers = [1 << bit for bit in range(most.bit_length())]
    sizes = range(1, most + 1) if most <= _ALL_SIZES else sorted({*powers, most})
    on_cpu = model.device == "cpu"
    shared = _way(runner, sizes, False, seconds, on_cpu)
    alone = _way(runner, sizes, True, seconds, on_cpu)
    return _Lanes(len(runners), *shared, *alone)


def _way(runner: Runner, sizes: Sequence[int], alone: bool, seconds: float, on_cpu: bool) -> tuple[Points, float]:
    """Seconds of a batch of each size, and the cores that it keeps busy.

    On a CPU other work on the machine lengthens what the clock shows, but hardly the CPU time: that divided by the
    cores is what an idle machine would take.
    """
    runs = [(size, *_batch(runner, size, alone, seconds / len(sizes))) for size in sizes]
    cores = float(np.quantile(np.concatenate([cpu / wall for _, wall, cpu in runs]), 1 - _UNDISTURBED / 2))
    took = [cpu / cores if on_cpu else wall for _, wall, cpu in runs]
    return tuple((size, float(np.quantile(each, _UNDISTURBED))) for size, each in zip(sizes, took, strict=True)), cores


def _batch(runner: Runner, size: int, alone: bool, seconds: float) -> tuple[Numbers, Numbers]:
    """Wall and CPU seconds of batches of that size."""
    slots, top_ks, walls, cpus = list(range(size)), [1] * size, list[float](), list[float]()
    until = time.monotonic() + seconds
    while len(walls) < 5 or time.monotonic() < until:
        started_at, cpu_at = time.perf_counter(), time.process_time()
        runner.run(slots, top_ks, alone)
        walls.append(time.perf_counter() - started_at)
        cpus.append(time.process_time() - cpu_at)
    return np.array(walls), np.array(cpus)
