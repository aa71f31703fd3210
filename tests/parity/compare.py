"""Owns the comparison of our answers with another library's; does not run the other library."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from app.checkpoints.load import Converted, ConvertOptions, read_checkpoint
from app.network.vit import VisionTransformer

DEFAULT = ConvertOptions()
ATOL = {"float32": 1e-5, "float64": 1e-10}


def converted(case: Path, options: ConvertOptions = DEFAULT) -> Converted:
    """Our reading of a case's weights: the one file of them, or the folder as on the hub."""
    bare = sorted(case.glob("weights.*"))
    return read_checkpoint(bare[0] if bare else case, options)


def drawn(network: Any, std: float) -> Any:
    """A library's network in evaluation, every parameter drawn, norms around one."""
    torch.manual_seed(0)
    for key, parameter in network.eval().requires_grad_(False).named_parameters():
        parameter.normal_(mean=1.0 if "norm" in key and key.endswith("weight") else 0.0, std=std)
    return network


def assert_same_logits(network: VisionTransformer, case: Path) -> None:
    """Within 1e-5 in float32 and 1e-10 in float64 of what the library gave for the same input."""
    expected = load_file(case / "expected.safetensors")
    with torch.inference_mode():
        close(network.float()(expected["x"].float()), expected, "float32")
        close(network.double()(expected["x"]), expected, "float64")


def close(actual: Tensor, expected: dict[str, Tensor], precision: str) -> None:
    """Asserts it for one precision; equality of what is constant would prove nothing."""
    assert expected[precision].std() > 1e-2
    torch.testing.assert_close(actual, expected[precision], atol=ATOL[precision], rtol=0)
