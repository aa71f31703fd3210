"""Owns what the protocol tells of server and model, in Triton's shape where there is no other; does not measure."""

from collections import defaultdict
from typing import Any, Final

from app import __version__
from app.api.protocols.names import VERSION
from app.api.protocols.oip_answer import OUTPUTS
from app.api.protocols.oip_pictures import DATATYPES, IMAGE, PIXEL_VALUES, PIXELS
from app.domain import ModelInfo
from app.telemetry.metrics import STAGES, Metrics

SERVER: Final = "vit-serve"
EXTENSIONS: Final = ("binary_tensor_data", "classification", "model_configuration", "parameters", "statistics")
# What clients cannot see from names and shapes.
NOTES: Final = {
    IMAGE: "encoded files of any format that is read here; in JSON base64",
    PIXEL_VALUES: "(pixel / 255 - mean) / std of an image of this size; rounded back to whole pixels",
    PIXELS: "0 to 255, [n, height, width, 3] or [n, 3, height, width]",
    "timeout": "microseconds until the answer is of no use",
    "priority": "accepted, and changes nothing: requests are taken in the order in which they come",
}
_TYPES: Final = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32", "UINT8": "TYPE_UINT8"}
_STAGE, _BATCH = "vit_stage_duration_seconds", "vit_batch"
_READ: Final = ("vit_jobs_total", f"{_STAGE}_sum", f"{_STAGE}_count", f"{_BATCH}_size_count")


def server_metadata() -> dict[str, Any]:
    """`GET /v2`."""
    return {"name": SERVER, "version": __version__, "extensions": list(EXTENSIONS)}


def model_metadata(info: ModelInfo, name: str) -> dict[str, Any]:
    """`GET /v2/models/{name}`. A request names one of the inputs."""
    return {
        "name": name,
        "versions": [VERSION],
        "platform": f"vit_serve_{info.engine}",
        "inputs": [
            {"name": key, "datatype": DATATYPES[key], "shape": [-1, *dims]} for key, dims in _inputs(info).items()
        ],
        "outputs": [{"name": key, "datatype": "FP32", "shape": [-1, len(info.labels)]} for key in OUTPUTS],
        "parameters": dict(NOTES),
    }


def model_configuration(info: ModelInfo, name: str, max_images: int) -> dict[str, Any]:
    """Triton's `GET …/config`; sizes without the first, of images, which is `max_batch_size` at most in a request."""
    inputs = [
        {"name": key, "data_type": _TYPES[DATATYPES[key]], "format": "FORMAT_NONE", "dims": dims, "optional": True}
        for key, dims in _inputs(info).items()
    ]
    outputs = [{"name": key, "data_type": "TYPE_FP32", "dims": [len(info.labels)]} for key in OUTPUTS]
    return {
        "name": name,
        "platform": f"vit_serve_{info.engine}",
        "backend": SERVER,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": max_images,
        "input": inputs,
        "output": outputs,
        "instance_group": [
            {"name": name, "kind": "KIND_GPU" if info.device.startswith("cuda") else "KIND_CPU", "count": info.lanes}
        ],
        "dynamic_batching": {"preferred_batch_size": [info.max_batch_size], "max_queue_delay_microseconds": 0},
        "parameters": {key: {"string_value": note} for key, note in NOTES.items()},
    }


def _inputs(info: ModelInfo) -> dict[str, list[int]]:
    """Sizes after the first."""
    height, width = info.preprocess.height, info.preprocess.width
    return {IMAGE: [1], PIXEL_VALUES: [info.preprocess.channels, height, width], PIXELS: [height, width, 3]}


def model_statistics(metrics: Metrics, name: str) -> dict[str, Any]:
    """Triton's `GET …/stats`, of all images by whatever contract; for another thread than the event loop's.

    Counts since the start, times in nanoseconds. What is not counted by size of a batch, or at all, is left out.
    """
    read = defaultdict[tuple[str, str], float](float)
    for family in metrics.registry.restricted_registry(_READ).collect():
        for sample in family.samples:
            read[sample.name, sample.labels.get("outcome") or sample.labels.get("stage", "")] = sample.value
    stages = {
        stage: {"count": int(read[f"{_STAGE}_count", stage]), "ns": int(read[f"{_STAGE}_sum", stage] * 1e9)}
        for stage in STAGES
    }
    done, failed = int(read["vit_jobs_total", "result"]), int(read["vit_jobs_total", "error"])
    spent = sum(stages[stage]["ns"] for stage in ("decode", "queue", "inference"))
    statistics = {
        "name": name,
        "version": VERSION,
        "inference_count": done,
        "execution_count": int(read[f"{_BATCH}_size_count", ""]),
        "inference_stats": {
            "success": {"count": done, "ns": spent},
            "fail": {"count": failed, "ns": 0},
            "queue": stages["queue"],
            "compute_input": stages["decode"],
            "compute_infer": stages["inference"],
            "compute_output": stages["respond"],
            "cache_hit": {"count": 0, "ns": 0},
            "cache_miss": {"count": 0, "ns": 0},
        },
        "batch_stats": [],
    }
    return {"model_stats": [statistics]}
