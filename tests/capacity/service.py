"""Owns the service times that the tests of capacity simulate; does not test."""

from typing import Any

from app.capacity.times import ServiceTimes

QUICK = {
    "model": "a model",
    "cores": 2,
    "lanes": 2,
    "decode_threads": 2,
    "max_batch_size": 8,
    "decode_s": 0.002,
    "batch_s": [[1, 0.009], [8, 0.06]],
    "alone_s": [[1, 0.006], [8, 0.045]],
    "alone_cores": 2,
    "http_s": 0.0008,
    "refused_s": 0.0003,
    "start_s": 5.0,
}


def service(**changes: Any) -> ServiceTimes:
    """Two cores that do some 160 images a second, unless `changes` say otherwise."""
    return ServiceTimes.model_validate({**QUICK, **changes})


def queue(**changes: Any) -> ServiceTimes:
    """A service that is one queue of textbooks: it refuses nothing, and cores are no matter."""
    return service(
        **{"cores": 4096, "alone_cores": 1, "http_s": 0, "refused_s": 0, "slots": 65536, "max_wait_ms": 1e9, **changes}
    )
