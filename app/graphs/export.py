"""Owns the way from a network in torch to a graph that OpenVINO reads; does not run or keep it."""

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from app.errors import ExportFailed
from app.graphs.agreement import exact_within
from app.graphs.folder import Logits, Pixels
from app.graphs.library import openvino
from app.network.fold import PIXEL_OFFSET
from app.network.library import Network


class _FromPixels(nn.Module):
    """The network behind what decoders write: uint8 (batch, height, width, 3)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self._dtype = next(network.parameters()).dtype

    def forward(self, pixels: Tensor) -> Tensor:
        """→ logits (batch, classes)."""
        logits: Tensor = self.network(pixels.permute(0, 3, 1, 2).to(self._dtype) - PIXEL_OFFSET)
        return logits


@torch.inference_mode()
def logits_of(network: Network, pixels: Pixels) -> Logits:
    """What a network that takes pixels (see `fold_normalisation`) gives in torch, one picture at a time."""
    forward = _FromPixels(network)
    return np.concatenate([forward(torch.from_numpy(picture[None])).float().numpy() for picture in pixels])


def export(network: Network, probes: Pixels, destination: Path) -> Logits:
    """Writes the graph of a float32 network that takes pixels, for batches of any size; returns torch's logits.

    Raises ExportFailed where the network cannot be expressed or what comes out of it differs, and OSError.
    """
    expected = logits_of(network, probes)
    model = _convert(network, probes)
    found = _run(model, probes)
    difference = float(np.abs(found - expected).max())
    if not difference <= exact_within(expected):  # also of what is no number
        raise ExportFailed(f"OpenVINO's logits differ from torch's by {difference:.2g}")
    try:
        openvino.save_model(model, destination, compress_to_fp16=False)
    except RuntimeError as error:  # a full disk
        raise OSError(f"{destination}: cannot be written: {error}") from error
    return expected


def _convert(network: Network, probes: Pixels) -> "openvino.Model":
    example = torch.from_numpy(probes[:2].copy())
    # What tracing warns of are decisions by sizes that no request changes, and what it logs concerns other frameworks.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            module = _FromPixels(network).eval()
            traced = torch.jit.trace(module, example, check_trace=False)  # the logits are compared all the same
            model = openvino.convert_model(traced, example_input=example, input=[-1, *example.shape[1:]])
    except Exception as error:  # whatever a converter stumbles over
        reason = " ".join(str(error).split())[:300]  # which operation it is stands in one of many lines
        raise ExportFailed(f"OpenVINO cannot express this network: {type(error).__name__}: {reason}") from error
    _keep_apart(model)
    model.inputs[0].get_tensor().set_names({"pixels"})
    model.outputs[0].get_tensor().set_names({"logits"})
    return model


def _keep_apart(model: "openvino.Model") -> None:
    """Puts an operation that does nothing behind every maximum over neighbours.

    OpenVINO 2026.4 moves an activation from behind the maximum in front of it, into the convolution before; of GELU,
    which falls and rises again, that is another function.
    """
    for node in model.get_ops():
        if node.get_type_name() == "MaxPool":
            out = node.output(0)
            readers = list(out.get_target_inputs())
            same = openvino.opset13.maximum(out, out).output(0)
            for reader in readers:
                reader.replace_source_output(same)


def _run(model: "openvino.Model", pixels: Pixels) -> Logits:
    """In batches of one and of the rest: the batch must not have become a constant."""
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    parts = [compiled([part])[0].copy() for part in (pixels[:1], pixels[1:])]
    return np.concatenate(parts)
