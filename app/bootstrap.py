"""Owns the choice of concrete classes: settings in, a running Classifier out; does not serve or print."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from app.checkpoints.own import ModelPackage
from app.checkpoints.sources import load_model
from app.classifier import Classifier, ClassifierConfig
from app.domain import ModelInfo
from app.engine.allowance import allowed_cores, allowed_memory_bytes
from app.engine.client import EngineConfig, Observer
from app.engine.engine import Engine
from app.engine.runners.device import choose_device, to_precision
from app.engine.runners.packing import pack_weights
from app.engine.runners.torch import TorchRunner, TorchRunnerConfig
from app.engine.slots import SlotPool
from app.imaging.pool import DecodePool
from app.imaging.price import DecodeLimits
from app.network.fold import fold_normalisation
from app.scheduling.policy import AdmissionPolicy, BatchPolicy
from app.scheduling.scheduler import Scheduler
from app.settings import Settings

logger = logging.getLogger(__name__)
_PROCESS_BYTES: Final = 512 * 2**20  # Python, torch, a small model and its batches


@asynccontextmanager
async def open_classifier(
    settings: Settings | None = None, observer: Observer | None = None
) -> AsyncIterator[Classifier]:
    """Loads the model, starts the engine and yields the classifier, which warms up in the background.

    On leaving, what was accepted is finished first. Raises SetupError if the model or device cannot be had.
    """
    settings = fitted(settings or Settings(), allowed_memory_bytes())
    package = load_model(settings.model)
    device, spec = choose_device(settings.device), package.preprocess
    parameters = sum(p.numel() for p in package.network.parameters())  # as they are stored
    fold_normalisation(package.network, spec)
    network, dtype = to_precision(settings.precision, package.network, spec, device)
    cores = settings.threads or allowed_cores()
    on_cpu = device.type == "cpu"
    lanes = min(cores, 4) if on_cpu else 1
    max_batch_size = settings.max_batch_size or (8 if on_cpu else 64)
    slots = SlotPool(settings.slots, spec.height, spec.width)
    runner_config = TorchRunnerConfig(device, dtype, max_batch_size, cores, lanes, package.temperature)
    info = _info(package, parameters, str(device), str(dtype).removeprefix("torch."))
    del package  # with it the float32 weights, where another format is computed in
    pack_weights(network, device, dtype)
    engine = Engine(
        [TorchRunner(network, slots.pixels, runner_config) for _ in range(lanes)],
        Scheduler(BatchPolicy(max_batch_size, settings.slots)),
        slots,
        EngineConfig(settings.stall_timeout_s, settings.drain_timeout_s, settings.warm_up_timeout_s),
        observer,
    )
    # Two rounds of batches, or one request, are let in whatever the rate: below that, refusals to clients that ask
    # again at once cost the lanes their cores, the measured rate sinks, and more is refused.
    always_admit = max(2 * lanes * max_batch_size, settings.max_images_per_request)
    admission = AdmissionPolicy(settings.max_wait_ms / 1000, always_admit)
    limits = DecodeLimits(
        *(settings.max_pixels, settings.max_decode_bytes, settings.color == "convert", settings.decode == "scaled")
    )
    decoders = DecodePool(settings.decode_threads or cores, spec, limits)
    config = ClassifierConfig(admission, settings.request_timeout_ms / 1000, settings.max_top_k)
    classifier = Classifier(info, engine, decoders, slots, config, observer)
    logger.info(
        "%s on %s in %s, %d lanes, batches up to %d, slots %d = %.1f MiB",
        *(info.name, info.device, info.precision, lanes, max_batch_size, settings.slots, slots.nbytes / 2**20),
    )
    engine.start()
    try:
        yield classifier
    finally:
        until = classifier.closes_at or time.monotonic() + settings.drain_timeout_s
        await engine.aclose(until)
        await asyncio.to_thread(decoders.close, until)


def fitted(settings: Settings, memory_bytes: int | None) -> Settings:
    """The settings, of which those bounds on memory that nobody has named fit into a container's limit, if it has one.

    Of what the process leaves over, a sixth is for bodies, and as much for what is unpacked of them; a third for large
    pictures being decoded, and half as much for ordinary ones.
    """
    if memory_bytes is None:
        return settings
    free = max(memory_bytes - _PROCESS_BYTES, memory_bytes // 4)
    fitting = {"max_bodies_bytes": max(free // 6, settings.max_body_bytes), "max_decode_bytes": free // 3}
    smaller = {
        name: most
        for name, most in fitting.items()
        if name not in settings.model_fields_set and most < getattr(settings, name)
    }
    if smaller:
        logger.info("memory is limited to %.0f MiB, so: %s", memory_bytes / 2**20, smaller)
    return settings.model_copy(update=smaller)


def _info(package: ModelPackage, parameters: int, device: str, precision: str) -> ModelInfo:
    return ModelInfo(
        name=package.name,
        variant=package.architecture,
        parameters=parameters,
        labels=package.labels,
        preprocess=package.preprocess,
        sha256=package.sha256,
        device=device,
        precision=precision,
        threshold=package.threshold,
        notice=package.notice,
        label_ids=package.label_ids,
        source=package.source,
    )
