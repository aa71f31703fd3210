"""Owns which numbers of a running service are read when somebody scrapes; does not count events."""

from app.api.state import State
from app.engine.client import Status
from app.engine.runners.memory import memory_gauges


def watch_service(state: State) -> None:
    """What waits, how fast it leaves, and the limits beside what they limit."""
    classifier, settings, decoders = state.classifier, state.settings, state.classifier.decoders
    watch, info = state.metrics.watch, classifier.info
    state.metrics.model(info)
    watch("vit_ready", "Whether new images are taken.", lambda: classifier.status is Status.READY)
    watch("vit_queue_depth", "Images waiting for the device.", lambda: classifier.queue_depth)
    watch("vit_decode_queue_depth", "Pictures waiting to be decoded.", lambda: decoders.waiting)
    watch("vit_images_per_second", "What leaves when busy, as measured; 0: unknown.", lambda: classifier.images_per_s)
    watch(
        "vit_expected_wait_seconds",
        "Until everything now inside has been answered, at the measured rate.",
        lambda: classifier.expected_wait_s,
    )
    watch(
        "vit_max_wait_seconds", "The expected wait above which images are refused.", lambda: settings.max_wait_ms / 1e3
    )
    watch("vit_slots_in_use", "Images between admission and answer.", lambda: classifier.slots_in_use)
    watch("vit_slots", "Images that may be between admission and answer.", lambda: classifier.slots)
    watch("vit_bodies_bytes", "Memory of request bodies.", lambda: state.bodies.used_bytes)
    watch("vit_bodies_limit_bytes", "What request bodies may take.", lambda: settings.max_bodies_bytes)
    watch("vit_decode_bytes", "Memory of pictures being decoded.", lambda: decoders.running_bytes)
    watch("vit_decode_limit_bytes", "What large pictures may take.", lambda: settings.max_decode_bytes)
    state.metrics.watch_total(
        "vit_decode_busy_seconds", "Time for which threads decoded, all together.", lambda: decoders.busy_seconds
    )
    watch("vit_decode_threads", "Threads that decode.", lambda: decoders.threads)
    watch("vit_lanes", "Batches that run at once.", lambda: info.lanes)
    state.metrics.watch_kinds(
        "vit_device_memory_bytes", "Of the GPU, used by whomever and in all.", memory_gauges(info.device)
    )
    watch("vit_max_batch_size", "Images in a batch at most.", lambda: info.max_batch_size)
