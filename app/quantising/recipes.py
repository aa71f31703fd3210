"""Owns how a graph becomes an int8 graph, by NNCF, from the plainest way to the gentlest; does not judge them."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.domain import Scoring
from app.errors import QuantizationFailed
from app.graphs.folder import Logits, Pixels
from app.graphs.library import openvino
from app.quantising.judge import alike

RECIPES: Final = ("plain", "bias", "sensitive layers in float")
_ALPHA: Final = 0.5  # of smooth quantisation (arXiv 2211.10438): how much of the activations' range weights take over
_ROOM: Final = 0.5  # of what may be lost, the share that the search on calibration images uses


def quantise(
    recipe: str, graph: Path, pictures: Pixels, reference: Logits, allowed_loss: float, scoring: Scoring
) -> "openvino.Model":
    """The graph with int8 weights and activations, its ranges taken from pictures (n, height, width, 3).

    "plain" is NNCF's own for transformers; "bias" corrects biases layer by layer and smooths less; "sensitive layers in
    float" gives layers back, the most sensitive first, until no more than `allowed_loss` of the answers are
    not alike those of `reference` (n, classes). Raises QuantizationFailed where NNCF is missing or fails.
    """
    nncf = _nncf()
    model = openvino.Core().read_model(graph)
    data = nncf.Dataset([picture[None] for picture in pictures])
    common: dict[str, Any] = {
        "model_type": nncf.ModelType.TRANSFORMER,
        "preset": nncf.QuantizationPreset.MIXED,
        "subset_size": len(pictures),
    }
    gentle = nncf.AdvancedQuantizationParameters(
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=_ALPHA),
    )
    # A layer that is given back gets its first weights again: they would not fit to activations that were scaled.
    unsmoothed = nncf.AdvancedQuantizationParameters(
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1),
    )
    try:
        if recipe == "plain":
            return nncf.quantize(model, data, **common)
        if recipe == "bias":
            return nncf.quantize(model, data, **common, fast_bias_correction=False, advanced_parameters=gentle)
        return nncf.quantize_with_accuracy_control(
            *(model, data, data),
            validation_fn=_agreement_with(pictures, reference, scoring),
            max_drop=_ROOM * allowed_loss,
            advanced_quantization_parameters=unsmoothed,
            **common,
        )
    except Exception as error:  # of a library's many passes
        reason = str(error).strip().partition("\n")[0]
        raise QuantizationFailed(f"NNCF cannot quantise this network: {type(error).__name__}: {reason}") from error


def save(model: "openvino.Model", destination: Path) -> None:
    """Raises OSError."""
    try:
        openvino.save_model(model, destination, compress_to_fp16=False)
    except RuntimeError as error:
        raise OSError(f"{destination}: cannot be written: {error}") from error


def _agreement_with(
    pictures: Pixels, reference: Logits, scoring: Scoring
) -> Callable[[Any, Iterable[Pixels]], tuple[float, list[float]]]:
    expected = {picture.tobytes(): logits[None] for picture, logits in zip(pictures, reference, strict=True)}

    def agreement(compiled: Any, some: Iterable[Pixels]) -> tuple[float, list[float]]:
        """As NNCF asks, of some of the pictures in any order: the mean, and the value for each."""
        same = [float(alike(expected[each.tobytes()], compiled(each)[0], scoring)[0]) for each in some]
        return float(np.mean(same)), same

    return agreement


def check_nncf() -> None:
    """Raises QuantizationFailed where NNCF is not installed."""
    _nncf()


def _nncf() -> Any:
    try:
        import nncf
    except ImportError as error:
        raise QuantizationFailed(
            "quantising needs NNCF, which is not installed here: pip install 'vit-serve[quantize]'"
        ) from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf
