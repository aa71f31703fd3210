"""Owns the choice of concrete classes: settings in, a running Classifier out; does not serve or print."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from app.classifier import Classifier, ClassifierConfig
from app.domain import Candidate, ModelInfo
from app.engine.allowance import allowed_cores, allowed_memory_bytes
from app.engine.choose import open_model
from app.engine.client import EngineConfig, Observer
from app.engine.engine import Engine
from app.engine.opened import Opened, Wish
from app.engine.slots import SlotPool
from app.imaging.pool import DecodePool
from app.imaging.price import DecodeLimits
from app.inside import Inside, InsideConfig
from app.scheduling.policy import BatchPolicy, service_admission
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
    memory_bytes = allowed_memory_bytes()
    settings = fitted(settings or Settings(), memory_bytes)
    cores = settings.threads or allowed_cores()
    wish = Wish(
        *(settings.engine, settings.device, settings.precision, cores, settings.max_batch_size),
        cache_directory=settings.cache_directory,
    )
    model = open_model(settings.model, wish)
    spec, max_batch_size = model.description.preprocess, model.max_batch_size
    slots = SlotPool(_slots(settings, memory_bytes, 3 * spec.height * spec.width), spec.height, spec.width)
    runners = model.runners(slots.pixels)
    lanes = len(runners)
    info = _info(model, lanes)
    engine = Engine(
        runners,
        Scheduler(BatchPolicy(max_batch_size, len(slots.pixels))),
        slots,
        _engine_config(settings),
        observer,
    )
    admission = service_admission(settings.max_wait_ms / 1000, lanes, max_batch_size, settings.max_images_per_request)
    scaled = settings.decode == "scaled"
    limits = DecodeLimits(
        *(settings.max_pixels, settings.max_decode_bytes, settings.color == "convert"),
        *(scaled, scaled and not model.description.convolutional),
    )
    decoders = DecodePool(settings.decode_threads or cores, spec, limits)
    config = ClassifierConfig(admission, settings.request_timeout_ms / 1000, settings.max_top_k)
    classifier = Classifier(info, engine, decoders, slots, config, observer)
    interior = model.interior if settings.insights else None
    inside = InsideConfig(limits, config.request_timeout_s, _engine_config(settings))
    classifier.inside = Inside(info, interior, inside, classifier.check_calm, classifier.idle_s, observer)
    logger.info(
        "%s on %s by %s in %s, lanes %d, batches up to %d, slots %d = %.1f MiB",
        *(info.name, info.device, info.engine, info.precision, lanes, max_batch_size),
        *(len(slots.pixels), slots.nbytes / 2**20),
    )
    if info.candidates:
        logger.info("chosen from: %s", "; ".join(map(_told, info.candidates)))
    engine.start()
    try:
        yield classifier
    finally:
        until = classifier.closes_at or time.monotonic() + settings.drain_timeout_s
        await classifier.inside.aclose(until)
        await engine.aclose(until)
        await asyncio.to_thread(decoders.close, until)


def fitted(settings: Settings, memory_bytes: int | None) -> Settings:
    """The settings, of which those bounds on memory that nobody has named fit into a container's limit, if it has one.

    Of what the process leaves over, a sixth is for bodies, and as much for what is unpacked of them; a third for large
    pictures being decoded, and half as much for ordinary ones.
    """
    if memory_bytes is None:
        return settings
    free = _free(memory_bytes)
    fitting = {"max_bodies_bytes": max(free // 6, settings.max_body_bytes), "max_decode_bytes": free // 3}
    smaller = {
        name: most
        for name, most in fitting.items()
        if name not in settings.model_fields_set and most < getattr(settings, name)
    }
    if smaller:
        logger.info("memory is limited to %.0f MiB, so: %s", memory_bytes / 2**20, smaller)
    return settings.model_copy(update=smaller)


def _engine_config(settings: Settings) -> EngineConfig:
    return EngineConfig(settings.stall_timeout_s, settings.drain_timeout_s, settings.warm_up_timeout_s)


def _slots(settings: Settings, memory_bytes: int | None, image_bytes: int) -> int:
    """How many slots; where nobody has said so, and memory is limited, in no more than an eighth of what is free."""
    if memory_bytes is None or "slots" in settings.model_fields_set:
        return settings.slots
    return max(min(settings.slots, _free(memory_bytes) // 8 // image_bytes), settings.max_images_per_request)


def _free(memory_bytes: int) -> int:
    """What a limit leaves over beside the process."""
    return max(memory_bytes - _PROCESS_BYTES, memory_bytes // 4)


def _info(model: Opened, lanes: int) -> ModelInfo:
    description = model.description
    return ModelInfo(
        name=description.name,
        variant=description.architecture,
        parameters=model.parameters,
        labels=description.labels,
        preprocess=description.preprocess,
        sha256=description.sha256,
        device=model.device,
        precision=model.precision,
        threshold=description.threshold,
        notice=description.notice,
        label_ids=description.label_ids,
        source=description.source,
        engine=model.engine,
        lanes=lanes,
        max_batch_size=model.max_batch_size,
        engine_reason=model.reason,
        candidates=model.candidates,
        activation=description.scoring.activation,
        temperature=description.scoring.temperature,
    )


def _told(candidate: Candidate) -> str:
    what = candidate.why_not or f"{candidate.images_per_s or 0:.0f} images/s"
    return f"{candidate.engine} {candidate.precision} x{candidate.lanes}: {what}"
