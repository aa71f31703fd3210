"""Owns what features and attention of tiny networks are, computed layer by layer in torch; does not test."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from app.domain import PreprocessSpec
from app.engine.client import Runner, Scores
from app.engine.interior import Interior, Look
from app.engine.runners.openvino_interior import OpenVINOInterior
from app.engine.runners.torch_interior import TorchInterior
from app.graphs.export import export
from app.graphs.folder import Pixels
from app.insight.attention import _Eager, attend, roll
from app.network.fold import fold_normalisation
from app.network.vit import VisionTransformer
from app.package.variants import ViTConfig
from tests.graphs.tiny import threads_kept
from tests.insight.networks import DISTILLED, HYBRID, SMALL, STEM, random_network

VARIANTS = {
    "plain": SMALL,
    "one layer": replace(SMALL, depth=1),
    "hybrid": HYBRID,
    "distilled": DISTILLED,
    "stem": STEM,
    "registers": replace(SMALL, reg_tokens=3),
    "relative": replace(SMALL, position="relative"),
    "hidden layer": replace(SMALL, qk_norm=True, representation_size=9),
    "mean": replace(SMALL, global_pool="avg"),
    "mean of all": replace(SMALL, global_pool="avg", pool_include_prefix=True),
    "no class token": replace(SMALL, global_pool="avg", class_token=False),
    "token and mean": replace(SMALL, global_pool="token_avg"),
}
Numbers = npt.NDArray[np.float32]


class Golden:
    """Of a few pictures: the embedding, the rollout of the whole matrix, and each layer's weights in what is read."""

    def __init__(self, config: ViTConfig, pixels: Pixels | None = None) -> None:
        self.config = config
        noise = np.random.default_rng(0).integers(0, 256, (3, *config.img_size, 3), dtype=np.uint8)
        self.pixels: Pixels = noise if pixels is None else pixels
        images = normalised(self.pixels)
        network = random_network(config)
        weights: list[Tensor] = []
        tokens = attend(network, images, weights.append)
        self.logits: Numbers = network(images).numpy()
        features = network.pre_logits(network.fc_norm(network.attn_pool(tokens)))
        if config.distilled:
            features = (features + tokens[:, 1]) / 2
        self.embeddings: Numbers = features.numpy()
        rollout = None
        for each in weights:
            rollout = roll(rollout, each)
        read = self.read()
        assert rollout is not None
        self.rollout = self._of_patches(torch.einsum("n,bnm->bm", read, rollout))
        self.attention = self._of_patches(torch.stack([torch.einsum("n,bhnm->bhm", read, w) for w in weights], dim=1))

    def read(self) -> Tensor:
        """(N,): of how much of each token of the last layer the head makes its classes."""
        config, read = self.config, torch.zeros(self.config.num_tokens)
        if config.global_pool == "avg":
            read[0 if config.pool_include_prefix else config.num_prefix_tokens :] = 1
        else:
            read[0] = 1
        return read / read.sum()

    def relevance(self, picture: int, index: int) -> Numbers:
        """Of each patch to a class, by whole matrices: Chefer et al., arXiv 2103.15679, equations 5 and 6."""
        network, weights = random_network(self.config), list[Tensor]()
        images = normalised(self.pixels[picture : picture + 1]).requires_grad_()
        with _Eager(weights.append):
            logits = network.forward_head(network.forward_features(images))
        assert isinstance(logits, Tensor)
        relevance = torch.eye(self.config.num_tokens)
        for each, slope in zip(weights, torch.autograd.grad(logits[0, index], weights), strict=True):
            relevance = relevance + (each * slope).clamp_min(0)[0].mean(dim=0).detach() @ relevance
        return self._of_patches(relevance[0])

    def _of_patches(self, rows: Tensor) -> Numbers:
        patches = self.config.grid_size[0] * self.config.grid_size[1]
        found: Numbers = rows[..., -patches:].numpy()
        return found


def normalised(pixels: Pixels) -> Tensor:
    spec = PreprocessSpec()
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (spec.mean, spec.std))
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std


def folded(config: ViTConfig) -> VisionTransformer:
    network = random_network(config)
    fold_normalisation(network, PreprocessSpec(*config.img_size))
    return network


def by_openvino(golden: Golden, folder: Path) -> OpenVINOInterior:
    with threads_kept():
        export(folded(golden.config), golden.pixels, folder / "float32.xml")
    return OpenVINOInterior(folder / "float32.xml", 2)


def by_torch(golden: Golden) -> TorchInterior:
    return TorchInterior(folded(golden.config), torch.device("cpu"), torch.float32, golden.config.num_classes)


def ran(runner: Runner, count: int) -> list[Scores]:
    """Of the first slots; of batches no larger than the runner takes."""
    with threads_kept():
        return [said for slot in range(count) for said in runner.run([slot], [0], False)]


def explained(interior: Interior, pixels: Pixels, look: Look) -> tuple[Numbers, Numbers]:
    """Logits and maps of each picture."""
    classes = 7
    [runner] = interior.explainers(pixels, [look] * len(pixels))
    runner.warm_up()
    rows = np.stack([np.asarray(each.scores, np.float32) for each in ran(runner, len(pixels))])
    return rows[:, :classes], rows[:, classes:]
