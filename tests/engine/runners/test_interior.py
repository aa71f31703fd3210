"""Owns the tests of engine/runners/openvino_interior.py and torch_interior.py, in threads whose priority may sink."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import nn

from app.engine.interior import Interior, Look
from app.engine.nice import LAST
from app.engine.runners.openvino_interior import OpenVINOInterior, unmirrored
from app.engine.runners.torch_interior import TorchInterior
from app.errors import NotSupported
from app.network.library import LibraryNetwork
from tests.engine.runners.interiors import (
    VARIANTS,
    Golden,
    by_openvino,
    by_torch,
    explained,
    ran,
)
from tests.insight.networks import SMALL

WITHIN = 1e-4
T = TypeVar("T")


@contextmanager
def aside() -> Iterator[Callable[[Callable[[], T]], T]]:
    """Calls in another thread, which ends: the priority that runners take cannot be given back."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda work: pool.submit(work).result()


@pytest.fixture(scope="module", params=VARIANTS)
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(VARIANTS[request.param])


@pytest.fixture(scope="module")
def openvino_interior(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> OpenVINOInterior:
    return by_openvino(golden, tmp_path_factory.mktemp("graph"))


def check_embeddings(interior: Interior, golden: Golden) -> None:
    assert interior.width() == golden.embeddings.shape[1]
    runner, *_ = interior.embedders(golden.pixels)
    with aside() as call:
        call(runner.warm_up)
        found = np.stack([np.asarray(each.scores) for each in call(lambda: ran(runner, 3))])
        together = call(lambda: runner.run([2, 0, 1], [0, 0, 0], False))
    assert found == pytest.approx(golden.embeddings, rel=WITHIN, abs=WITHIN)
    assert np.stack([np.asarray(each.scores) for each in together]) == pytest.approx(found[[2, 0, 1]], abs=WITHIN)


def check_maps(interior: Interior, golden: Golden) -> None:
    sight, config = interior.sight(), golden.config
    assert (sight.grid, sight.layers, sight.heads) == (config.grid_size, config.depth, config.num_heads)
    with aside() as call:
        logits, rollout = call(lambda: explained(interior, golden.pixels, Look("rollout")))
        assert logits == pytest.approx(golden.logits, rel=WITHIN, abs=WITHIN)
        assert rollout == pytest.approx(golden.rollout, abs=WITHIN)
        for layer in range(config.depth):
            _, heads = call(partial(explained, interior, golden.pixels, Look("attention", layer)))
            assert heads == pytest.approx(golden.attention[:, layer].reshape(3, -1), abs=WITHIN)
    assert np.ptp(rollout) > 0.01 and rollout.sum(axis=1).max() < 1 + WITHIN  # it is not the same everywhere


def test_openvino_gives_the_feature_that_the_head_reads(golden: Golden, openvino_interior: OpenVINOInterior) -> None:
    check_embeddings(openvino_interior, golden)


def test_openvino_looks_where_torch_looks(golden: Golden, openvino_interior: OpenVINOInterior) -> None:
    check_maps(openvino_interior, golden)


def test_torch_gives_the_feature_that_the_head_reads(golden: Golden) -> None:
    check_embeddings(by_torch(golden), golden)


def test_torch_looks_where_the_whole_matrix_says(golden: Golden) -> None:
    check_maps(by_torch(golden), golden)


@pytest.mark.parametrize("class_token", [True, False])
def test_an_attention_pool_is_the_last_layer_in_both_engines(class_token: bool, tmp_path: Path) -> None:
    golden = Golden(replace(SMALL, global_pool="map", class_token=class_token))
    openvino, torch_ = by_openvino(golden, tmp_path), by_torch(golden)
    assert openvino.sight().layers == torch_.sight().layers == SMALL.depth + 1
    with aside() as call:
        for look in (Look("rollout"), *(Look("attention", layer) for layer in range(SMALL.depth + 1))):
            one, other = (call(partial(explained, each, golden.pixels, look)) for each in (openvino, torch_))
            assert one[1] == pytest.approx(other[1], abs=WITHIN)
    check_embeddings(openvino, golden)
    check_embeddings(torch_, golden)


def test_a_network_that_sees_mirror_images_says_the_mean_of_both(tmp_path: Path) -> None:
    plain = Golden(SMALL)
    mirrored = Golden(SMALL, np.ascontiguousarray(plain.pixels[:, :, ::-1]))
    turned_back = mirrored.rollout.reshape(3, *SMALL.grid_size)[..., ::-1].reshape(3, -1)
    both = Golden(SMALL)
    both.config = replace(SMALL, mirror=True)
    both.embeddings = (plain.embeddings + mirrored.embeddings) / np.float32(2)
    for interior in (by_openvino(both, tmp_path), by_torch(both)):
        check_embeddings(interior, both)
        with aside() as call:
            _, maps = call(partial(explained, interior, plain.pixels, Look("rollout")))
        assert maps == pytest.approx((plain.rollout + turned_back) / 2, abs=WITHIN)


def test_gradients_say_what_speaks_for_a_class() -> None:
    golden = Golden(SMALL)
    best, worst = int(golden.logits[0].argmax()), int(golden.logits[0].argmin())
    with aside() as call:
        found = {
            index: call(partial(explained, by_torch(golden), golden.pixels[:1], Look("gradient", index=index)))[1][0]
            for index in (None, best, worst)
        }
    assert found[None].tolist() == found[best].tolist()
    for index in (best, worst):
        assert found[index] == pytest.approx(golden.relevance(0, index), rel=1e-3, abs=WITHIN)
    assert np.abs(found[best] - found[worst]).max() > 1e-3


def test_threads_have_the_last_place(openvino_interior: OpenVINOInterior, golden: Golden) -> None:
    def priority() -> int:
        runner, *_ = openvino_interior.embedders(golden.pixels)
        runner.warm_up()
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    with aside() as call:
        assert call(priority) == LAST


def test_a_graph_that_was_not_kept_is_said_to_be_gone(tmp_path: Path) -> None:
    interior = OpenVINOInterior(tmp_path / "gone.xml", 1)
    for ask in (interior.width, interior.sight):
        with pytest.raises(NotSupported, match="kept"):
            ask()


def test_maps_of_mirror_images_are_turned_back() -> None:
    maps = np.arange(12, dtype=np.float32).reshape(2, 1, 6)  # one image and its mirror image, one head, 2 x 3 patches
    assert unmirrored(maps, 2, (2, 3)) is maps
    assert unmirrored(maps, 1, (2, 3)).tolist() == [[[4, 4, 4, 7, 7, 7]]]


def test_torch_finds_the_head_of_another_librarys_network_but_not_its_attention() -> None:
    class Theirs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.classifier = nn.Linear(3, 5), nn.Linear(5, 7)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.classifier(self.features(images.mean(dim=(2, 3))))
            return out

    made = LibraryNetwork(Theirs().requires_grad_(False))
    interior = TorchInterior(made, torch.device("cpu"), torch.float32, 7)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    with aside() as call:
        found = call(lambda: ran(interior.embedders(pixels)[0], 2))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 128
    expected = made.network.features(images.mean(dim=(2, 3)))  # type: ignore[operator]
    assert np.stack([np.asarray(each.scores) for each in found]) == pytest.approx(expected.numpy(), abs=1e-3)
    with pytest.raises(NotSupported, match="OpenVINO"):
        interior.sight()
    with pytest.raises(NotSupported, match="head"):
        TorchInterior(made, torch.device("cpu"), torch.float32, 8).width()
