"""Owns the JSON form of one image's answer, over HTTP and on the command line; does not know either of them."""

from typing import Any

from app.domain import Classification, Prediction, Timing


def result_document(answer: Classification) -> dict[str, Any]:
    """What is said of one image; durations in milliseconds, rounded to microseconds."""
    result: dict[str, Any] = {
        "model": answer.model,
        "activation": answer.activation,
        "predictions": predictions_document(answer.predictions),
        "timing_ms": timing_document(answer.timing),
        "batch_size": answer.batch_size,
    }
    if answer.confidence:
        result["confidence"] = answer.confidence
    if answer.notice:
        result["notice"] = answer.notice
    return result


def predictions_document(predictions: tuple[Prediction, ...]) -> list[dict[str, Any]]:
    """Classes in the order given."""
    return [
        {"label": p.label, **({"id": p.id} if p.id else {}), "index": p.index, "score": p.score} for p in predictions
    ]


def timing_document(timing: Timing) -> dict[str, float]:
    """Where the time went."""
    return {
        "decode": round(timing.decode_ms, 3),
        "queue": round(timing.queue_ms, 3),
        "inference": round(timing.inference_ms, 3),
        "total": round(timing.total_ms, 3),
    }
