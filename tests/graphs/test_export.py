"""Owns the tests of graphs/export.py."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from app.domain import PreprocessSpec
from app.engine.runners.openvino import CompiledGraph, infer
from app.errors import ExportFailed
from app.graphs.build import write_graphs
from app.graphs.export import logits_of
from app.graphs.folder import GRAPHS_NAME, read_graphs
from app.graphs.probes import probes
from app.network.fold import fold_normalisation
from app.network.vit import VisionTransformer
from tests.graphs.tiny import SPEC, blots, ill_conditioned, network, package_of

SPREAD = PreprocessSpec(32, 32, mean=(0.3, 0.5, 0.6), std=(0.2, 0.3, 0.25))


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_the_graph_says_what_torch_says_in_batches_of_any_size(built: Path, key: str, batch: int) -> None:
    made, pictures = network(), blots(batch)
    normalised = (torch.from_numpy(pictures).permute(0, 3, 1, 2).double() / 255).sub_(
        torch.tensor(SPEC.mean).view(3, 1, 1)
    ) / torch.tensor(SPEC.std).view(3, 1, 1)
    expected = made.double()(normalised).numpy()
    graph = CompiledGraph(read_graphs(built / GRAPHS_NAME, key).paths["float32"], "float32", 1, 1)
    found = infer(graph.request(), pictures)
    assert found.shape == (batch, 3)
    assert np.abs(found - expected).max() < 1e-4
    assert np.abs(expected).max() > 1  # so that it means something


def test_logits_of_are_those_of_the_normalised_pixels() -> None:
    made, folded, pictures = network(), network(), probes(SPREAD)
    fold_normalisation(folded, SPREAD)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (SPREAD.mean, SPREAD.std))
    expected = made((torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 - mean) / std)
    assert np.abs(logits_of(folded, pictures) - expected.numpy()).max() < 1e-4


class _WithoutRule(VisionTransformer):
    """Uses a function that no converter knows."""

    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        assert isinstance(logits, Tensor)
        return torch.special.bessel_j0(logits)


class _NotTraced(VisionTransformer):
    """Cannot be followed by a tracer."""

    def forward(self, x: Tensor) -> Any:
        if torch._C._get_tracing_state() is not None:
            raise TypeError("not while somebody looks\nsecond line")
        return super().forward(x)


def turned_into(kind: type[VisionTransformer]) -> VisionTransformer:
    made = network()
    made.__class__ = kind
    return made


@pytest.mark.parametrize(
    ("kind", "reason"), [(_WithoutRule, "aten::special_bessel_j0"), (_NotTraced, "not while somebody looks")]
)
def test_what_cannot_be_expressed_is_said_in_one_line(
    kind: type[VisionTransformer], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportFailed, match=f"OpenVINO cannot express this network: .*{reason}") as caught:
        write_graphs(package_of(turned_into(kind)), "key", tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())  # above all no manifest that vouches for something


def test_a_network_that_differs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match=r"OpenVINO's logits differ from torch's by \d"):
        write_graphs(package_of(ill_conditioned()), "key", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_network_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    made = network()
    made.head.bias.fill_(float("nan"))
    with pytest.raises(ExportFailed, match="differ from torch's by nan"):
        write_graphs(package_of(made), "key", tmp_path)
