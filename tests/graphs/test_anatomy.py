"""Owns the tests of graphs/anatomy.py and graphs/rollout.py on other libraries' ways; ours come with the runners."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.errors import NotSupported
from app.graphs.export import export
from app.graphs.library import openvino
from app.graphs.rollout import embedding_graph, explaining_graph
from app.network.library import LibraryNetwork
from app.package.config import EMBEDDED
from tests.graphs.tiny import blots, threads_kept

PICTURES = blots(3, side_px=32)
HEADS, WIDTH, CLASSES = 2, 8, 5


class Attend(nn.Module):
    """A layer whose softmax is in the open, as some libraries have it, or masked, or in windows of so many tokens."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.qkv = kind, nn.Linear(WIDTH, 3 * WIDTH)
        self.weights: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        if self.kind == "windows":
            x = x.reshape(batch * 4, tokens // 4, WIDTH)
        q, k, v = self.qkv(x).reshape(x.shape[0], x.shape[1], 3, HEADS, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril() if self.kind == "masked" else None
        scale = 0.7 if self.kind == "scaled" else q.shape[-1] ** -0.5
        logits = q @ k.transpose(-2, -1) * scale
        self.weights = (logits if mask is None else logits.masked_fill(~mask, -torch.inf)).softmax(dim=-1)
        if self.kind == "open":
            out = self.weights @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
        added: Tensor = x.reshape(batch, tokens, WIDTH) + out.transpose(1, 2).reshape(batch, tokens, WIDTH)
        return added


class Theirs(nn.Module):
    """16 patches, two layers, and the mean of the tokens or the last of them to a head."""

    def __init__(self, kind: str, read: str = "mean") -> None:
        super().__init__()
        self.patches, self.read = nn.Conv2d(3, WIDTH, 8, 8), read
        self.layers = nn.ModuleList([Attend(kind), Attend(kind)]) if kind else nn.ModuleList()
        self.head = nn.Linear(WIDTH, CLASSES)
        self.feature: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = layer(x)
        if self.read == "each":
            return self.head(x).mean(dim=1)  # type: ignore[no-any-return]
        self.feature = x.mean(dim=1) if self.read == "mean" else x[:, -1]
        if self.read == "no head":
            return self.feature[:, :CLASSES]
        return self.head(self.feature)  # type: ignore[no-any-return]


@pytest.fixture
def made(tmp_path: Path) -> "Callable[[Theirs], openvino.Model]":
    def make(theirs: Theirs) -> "openvino.Model":
        network = LibraryNetwork(theirs.eval().requires_grad_(False))
        network.take_pixels(torch.zeros(3).double(), torch.ones(3).double(), 128.0)
        with threads_kept():
            export(network, PICTURES, tmp_path / "graph.xml")
            torch.inference_mode()(network)(torch.from_numpy(PICTURES).permute(0, 3, 1, 2).float() - 128)
        return openvino.Core().read_model(tmp_path / "graph.xml")

    return make


def theirs(kind: str, read: str = "mean") -> Theirs:
    torch.manual_seed(1)
    network = Theirs(kind, read)
    for parameter in network.parameters():
        parameter.detach().normal_(std=0.7)
    return network


def run(model: "openvino.Model") -> list[np.ndarray]:
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return [each.copy() for each in openvino.Core().compile_model(model, "CPU", options)([PICTURES]).values()]


@pytest.mark.parametrize("kind", ["fused", "open", "scaled", "masked"])
@pytest.mark.parametrize("read", ["mean", "last"])
def test_attention_is_found_however_it_is_written(
    made: "Callable[[Theirs], openvino.Model]", kind: str, read: str
) -> None:
    network = theirs(kind, read)
    model = made(network)
    [embeddings] = run(embedding_graph(model.clone()))
    assert network.feature is not None
    assert embeddings == pytest.approx(network.feature.numpy(), rel=1e-4, abs=1e-4)
    graph, found = explaining_graph(model)
    assert (found.grid, found.tokens, found.pooled) == ((4, 4), 16, False)
    _, rollout, attention = run(graph)
    weights = [layer.weights.numpy() for layer in network.layers]  # type: ignore[operator]
    row = np.full(16, 1 / 16) if read == "mean" else np.eye(16)[-1]
    for number, each in enumerate(weights):
        assert attention[:, number] == pytest.approx(np.einsum("m,bhmn->bhn", row, each), abs=1e-4)
    rolled = np.tile(row, (3, 1))
    for each in reversed(weights):
        rolled = 0.5 * np.einsum("bm,bmn->bn", rolled, each.mean(axis=1)) + 0.5 * rolled
    assert rollout == pytest.approx(rolled, abs=1e-4)


def test_windows_are_not_taken_for_all_patches(made: "Callable[[Theirs], openvino.Model]") -> None:
    model = made(theirs("windows"))
    assert len(run(embedding_graph(model.clone()))[0]) == 3
    with pytest.raises(NotSupported, match="windows"):
        explaining_graph(model)


def test_a_network_without_attention_has_an_embedding_still(made: "Callable[[Theirs], openvino.Model]") -> None:
    model = made(theirs(""))
    assert run(embedding_graph(model.clone()))[0].shape == (3, WIDTH)
    with pytest.raises(NotSupported, match="no attention"):
        explaining_graph(model)


@pytest.mark.parametrize("read", ["each", "no head"])
def test_a_network_without_one_vector_before_its_head_has_none(
    made: "Callable[[Theirs], openvino.Model]", read: str
) -> None:
    model = made(theirs("fused", read))
    for change in (embedding_graph, explaining_graph):
        with pytest.raises(NotSupported):
            change(model.clone())


def test_what_quantising_put_before_the_head_is_left_out() -> None:
    """Of the embedded model, whose head's input is scaled and rounded: logits are its product with the weights."""
    from safetensors.numpy import load_file

    model = openvino.Core().read_model(EMBEDDED / "openvino/int8.xml")
    pictures = blots(3, side_px=128)
    compile_ = openvino.Core().compile_model
    [logits] = compile_(model, "CPU")([pictures]).values()
    [features] = compile_(embedding_graph(model.clone()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(
        [pictures]
    ).values()
    weights = load_file(EMBEDDED / "model.safetensors")
    assert features @ weights["head.weight"].T + weights["head.bias"] == pytest.approx(logits, abs=0.15)
    assert explaining_graph(model)[1].grid == (4, 4)
