import copy

import numpy as np
import pytest
import torch

from app.domain import PreprocessSpec, Scoring
from app.engine.client import OutOfDeviceMemory
from app.engine.runners.torch import TorchRunner, TorchRunnerConfig
from app.errors import InferenceFailed
from app.network.fold import fold_normalisation
from app.network.vit import VisionTransformer
from app.package.variants import variant

SPEC = PreprocessSpec(32, 32, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
CPU = torch.device("cpu")


def network() -> VisionTransformer:
    torch.manual_seed(1)
    net = VisionTransformer(variant("vit_pico_patch4_32"))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net.eval().requires_grad_(False)


def folded(net: VisionTransformer) -> VisionTransformer:
    fold_normalisation(net, SPEC)
    return net


def pixels(count: int = 6) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def runner(
    net: VisionTransformer, images: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", **options: object
) -> TorchRunner:
    config = TorchRunnerConfig(**{"device": CPU, "dtype": torch.float32, "max_batch_size": 4, **options})  # type: ignore[arg-type]
    return TorchRunner(net, images, config)


def test_scores_are_the_softmax_of_the_normalised_pixels() -> None:
    net, images = network(), pixels()
    [second, first] = runner(folded(copy.deepcopy(net)), images).run([2, 0], [3, 3], alone=True)
    for slot, got in ((0, first), (2, second)):
        x = torch.from_numpy(images[slot]).permute(2, 0, 1)[None].double() / 255
        mean, std = torch.tensor(SPEC.mean).view(1, 3, 1, 1), torch.tensor(SPEC.std).view(1, 3, 1, 1)
        expected = copy.deepcopy(net).double()((x - mean) / std).softmax(dim=1)[0]
        scores, indices = expected.topk(3)
        assert got.indices == indices.tolist()
        assert got.scores == pytest.approx(scores.tolist(), abs=1e-5)
        assert got.scores == sorted(got.scores, reverse=True)


def test_all_classes_add_up_and_temperature_flattens() -> None:
    net, images = network(), pixels()
    [sharp] = runner(net, images).run([1], [10], alone=False)
    [flat] = runner(net, images, scoring=Scoring(temperature=10.0)).run([1], [10], alone=False)
    assert sum(sharp.scores) == pytest.approx(1, abs=1e-5)
    assert sum(flat.scores) == pytest.approx(1, abs=1e-5)
    assert flat.indices == sharp.indices
    assert flat.scores[0] < sharp.scores[0]


def test_logits_of_all_classes_come_in_their_order_beside_others_best() -> None:
    net, images = network(), pixels()
    tested = runner(net, images, scoring=Scoring(temperature=2.0))
    best, logits = tested.run([1, 1], [10, 0], alone=False)
    assert logits.indices == [] and len(logits.scores) == 10
    scores = (torch.tensor(logits.scores) / 2).softmax(dim=0)
    assert best.scores == pytest.approx(scores[best.indices].tolist(), abs=1e-6)


def test_neighbours_do_not_change_an_answer() -> None:
    net, images = network(), pixels()
    tested = runner(net, images)
    [alone] = tested.run([3], [10], alone=True)
    together = tested.run([0, 3, 5, 3], [10] * 4, alone=False)
    assert together[1].indices == together[3].indices == alone.indices
    assert together[1].scores == pytest.approx(alone.scores, abs=1e-5)


def test_sees_what_is_written_into_a_slot_later() -> None:
    net, images = network(), pixels()
    tested = runner(net, images)
    [before] = tested.run([0], [1], alone=True)
    images[0] = 255 - images[0]
    [after] = tested.run([0], [1], alone=True)
    assert before.scores != after.scores


def test_warm_up_runs_every_size() -> None:
    seen: list[int] = []

    class Watched(VisionTransformer):
        def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
            seen.append(x.shape[0])
            return super().forward(x)

    net = Watched(variant("vit_pico_patch4_32"))
    net.load_state_dict(network().state_dict())
    runner(net.eval(), pixels()).warm_up()
    assert set(seen) == {1, 2, 3, 4}


@pytest.mark.parametrize(("alone", "threads"), [(True, 2), (False, 1)])
def test_takes_all_cores_only_when_alone(alone: bool, threads: int) -> None:
    net, images = network(), pixels()
    before = torch.get_num_threads()
    try:
        runner(net, images, cores=2, lanes=2).run([0], [1], alone)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_out_of_memory_is_told_apart() -> None:
    class Hungry(VisionTransformer):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("no more")

    with pytest.raises(OutOfDeviceMemory, match="no more"):
        runner(Hungry(variant("vit_pico_patch4_32")), pixels()).run([0], [1], True)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_answers_in_padded_batches() -> None:
    net, images = network(), pixels()
    expected = runner(net, images).run([0, 1, 2], [10] * 3, True)
    device = torch.device("cuda:0")
    got = runner(net.to(device), images, device=device).run([0, 1, 2], [10] * 3, True)
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.indices == theirs.indices
        assert ours.scores == pytest.approx(theirs.scores, abs=1e-4)


@pytest.mark.parametrize(
    ("image_s", "cores", "lanes", "least"),
    [(0.005, 2, 2, 3), (0.2, 2, 2, 1), (0.005, 16, 4, 2), (0.005, 4, 1, 1), (0.005, 1, 2, 1)],
)
def test_all_cores_are_for_batches_that_save_more_than_the_layers_wait(
    image_s: float, cores: int, lanes: int, least: int
) -> None:
    net = torch.nn.Sequential(*(torch.nn.Identity() for _ in range(64)))
    subject = runner(net, pixels(), cores=cores, lanes=lanes)  # type: ignore[arg-type]
    assert subject._worth_all_cores(image_s) == least


def test_a_batch_too_small_for_all_cores_takes_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = runner(folded(network()), pixels(), cores=2, lanes=2)
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    subject._least_alone = 3
    for slots, alone in (([0], True), ([0, 1, 2], True), ([0, 1, 2], False)):
        subject.run(slots, [1] * len(slots), alone)
    assert used == [1, 2, 1]


def test_a_network_without_finite_scores_does_not_warm_up() -> None:
    net = folded(network())
    torch.nn.init.constant_(net.head.bias, torch.nan)
    with pytest.raises(InferenceFailed, match="no finite scores"):
        runner(net, pixels()).warm_up()
