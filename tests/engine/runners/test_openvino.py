"""Owns the tests of engine/runners/openvino.py."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.domain import Scoring
from app.engine.client import Scores
from app.engine.runners import openvino as module
from app.engine.runners.openvino import CompiledGraph, OpenVINORunner, infer, parts, this_cpu
from app.errors import InferenceFailed, PackageError
from app.graphs.folder import GRAPHS_NAME, Logits, Pixels
from app.graphs.library import openvino
from tests.graphs.tiny import blots, copied, network

MAX_BATCH = 9
PICTURES = blots(13)


@pytest.fixture(scope="module")
def path(built: Path) -> Path:
    return built / GRAPHS_NAME / "float32.xml"


@pytest.fixture(scope="module")
def graph(path: Path) -> CompiledGraph:
    return CompiledGraph(path, "float32", 2, 2)


@pytest.fixture(scope="module")
def expected() -> Logits:
    """What torch says of each picture by itself, in double precision."""
    made = network().double()
    pixels = torch.from_numpy(PICTURES).permute(0, 3, 1, 2).double() / 255
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return np.concatenate([made(((picture - mean) / std)[None]).numpy() for picture in pixels])


@pytest.fixture
def worth_compiling_twice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_TWICE_ABOVE_S", 0.0)
    yield


def softmax(logits: Logits, temperature: float = 1.0) -> Logits:
    scores: Logits = torch.from_numpy(logits / temperature).softmax(dim=1).numpy()
    return scores


def check(answers: list[Scores], slots: list[int], scores: Logits) -> None:
    assert len(answers) == len(slots)
    for slot, answer in zip(slots, answers, strict=True):
        by_class = [answer.scores[answer.indices.index(label)] for label in range(3)]
        assert by_class == pytest.approx(scores[slot].tolist(), abs=1e-4)


def test_the_pictures_are_told_apart(expected: Logits) -> None:
    """Else the other tests here could not fail."""
    scores = softmax(expected)
    apart = np.abs(scores[:, None] - scores[None]).max(axis=2) + np.eye(len(scores))
    assert np.quantile(apart, 0.05) > 1e-3
    assert len(set(scores.argmax(axis=1))) > 1


@pytest.mark.parametrize("size", range(1, MAX_BATCH + 1))
@pytest.mark.parametrize("alone", [False, True])
def test_each_image_of_a_batch_of_any_size_gets_its_own_answer(
    graph: CompiledGraph, expected: Logits, size: int, alone: bool
) -> None:
    runner = OpenVINORunner(graph, PICTURES, MAX_BATCH, Scoring())
    for start in range(4):
        slots = [(5 * (start + n)) % 13 for n in range(size)]  # neither in order nor beside each other
        check(runner.run(slots, [3] * size, alone), slots, softmax(expected))


def test_each_image_gets_as_many_classes_as_it_asks_for(graph: CompiledGraph) -> None:
    runner = OpenVINORunner(graph, PICTURES, MAX_BATCH, Scoring())
    answers = runner.run([4, 4, 4], [1, 3, 2], alone=False)
    assert [len(answer.scores) for answer in answers] == [1, 3, 2]
    assert answers[0].indices == answers[1].indices[:1] == answers[2].indices[:1]


def test_logits_are_as_the_network_says_them(graph: CompiledGraph, expected: Logits) -> None:
    [logits] = OpenVINORunner(graph, PICTURES, MAX_BATCH, Scoring(temperature=3.0)).run([2], [0], alone=False)
    assert logits.indices == []
    assert logits.scores == pytest.approx(expected[2].tolist(), abs=1e-3)


def test_the_temperature_flattens(graph: CompiledGraph, expected: Logits) -> None:
    runner = OpenVINORunner(graph, PICTURES, MAX_BATCH, Scoring(temperature=3.0))
    check(runner.run([2, 7], [3, 3], alone=False), [2, 7], softmax(expected, 3.0))


def test_sees_what_is_written_into_a_slot_later(graph: CompiledGraph) -> None:
    pixels = PICTURES.copy()
    runner = OpenVINORunner(graph, pixels, MAX_BATCH, Scoring())
    [before] = runner.run([0], [3], alone=False)
    kept = Scores(list(before.scores), list(before.indices))
    pixels[0] = pixels[1]
    [after] = runner.run([0], [3], alone=False)
    assert after.scores != kept.scores
    assert after == runner.run([1], [3], alone=False)[0]
    assert before == kept


@pytest.mark.parametrize("size", range(1, 70))
def test_a_batch_is_made_of_powers_of_two_the_largest_first(size: int) -> None:
    sizes = parts(size)
    assert sum(sizes) == size
    assert sizes == sorted(set(sizes), reverse=True)
    assert all(each & (each - 1) == 0 for each in sizes)


def test_the_warm_up_runs_what_will_be_run_and_nothing_else(
    graph: CompiledGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def counted(request: Any, pixels: Pixels) -> Logits:
        seen.append(len(pixels))
        return infer(request, pixels)

    monkeypatch.setattr(module, "infer", counted)
    for most, sizes in ((9, {1, 2, 4, 8}), (8, {1, 2, 4, 8}), (7, {1, 2, 4}), (1, {1})):
        seen.clear()
        OpenVINORunner(graph, PICTURES, most, Scoring()).warm_up()
        assert set(seen) == sizes
        assert set(seen) == {part for size in range(1, most + 1) for part in parts(size)}


def test_a_network_that_gives_no_numbers_fails_in_the_warm_up(graph: CompiledGraph) -> None:
    with pytest.raises(InferenceFailed, match="no finite scores"), np.errstate(all="ignore"):
        OpenVINORunner(graph, PICTURES, 2, Scoring(temperature=float("nan"))).warm_up()


def test_two_lanes_at_once_do_not_mix_their_answers(path: Path, expected: Logits, worth_compiling_twice: None) -> None:
    graph, start, scores = CompiledGraph(path, "float32", 2, 2), threading.Barrier(3), softmax(expected)

    def lane(number: int) -> None:
        runner = OpenVINORunner(graph, PICTURES, 4, Scoring())
        order = np.random.default_rng(number)
        start.wait(10)
        for turn in range(150):
            slots = order.integers(0, 13, order.integers(1, 5)).tolist()
            check(runner.run(slots, [3] * len(slots), alone=turn % 3 == 0), slots, scores)

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(lane, number) for number in range(3)]:
            done.result()


@pytest.mark.parametrize(("lanes", "twice"), [(2, True), (1, False)])
def test_one_image_alone_runs_on_all_cores_where_lanes_share_them(
    path: Path, expected: Logits, worth_compiling_twice: None, lanes: int, twice: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[dict[str, object]] = []
    compile_model = openvino.Core.compile_model

    def noted(core: "openvino.Core", model: "openvino.Model", device: str, options: dict[str, object]) -> object:
        compiled.append(options)
        return compile_model(core, model, device, options)

    monkeypatch.setattr(openvino.Core, "compile_model", noted)
    graph = CompiledGraph(path, "float32", 2, lanes)
    assert [options["NUM_STREAMS"] for options in compiled] == ([lanes, 1] if twice else [lanes])
    assert {options["INFERENCE_NUM_THREADS"] for options in compiled} == {2}
    runner = OpenVINORunner(graph, PICTURES, 4, Scoring())
    runner.warm_up()
    for slots in ([3], [1, 2, 5]):
        check(runner.run(slots, [3] * len(slots), alone=True), slots, softmax(expected))


@pytest.mark.parametrize(("threshold_s", "below_bytes"), [(10.0, 2**30), (0.0, 100)])
def test_a_quick_network_and_a_large_one_are_compiled_once(
    path: Path, threshold_s: float, below_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TWICE_ABOVE_S", threshold_s)
    monkeypatch.setattr(module, "_TWICE_BELOW_BYTES", below_bytes)
    count = [0]
    compile_model = openvino.Core.compile_model

    def noted(*arguments: object) -> object:
        count[0] += 1
        return compile_model(*arguments)

    monkeypatch.setattr(openvino.Core, "compile_model", noted)
    CompiledGraph(path, "float32", 2, 2)
    assert count == [1]


def test_bfloat16_is_near(path: Path, expected: Logits) -> None:
    """Where the processor has none it is float32."""
    found = infer(CompiledGraph(path, "bfloat16", 2, 1).request(), PICTURES)
    assert np.abs(found - expected).max() < 0.15
    assert (np.abs(found - expected).max() > 1e-4) == this_cpu().bfloat16


@pytest.mark.parametrize("garbage", [b"", b"<net", b"<html></html>", b"\0" * 1000])
def test_what_is_no_graph_is_refused_in_one_line(built: Path, tmp_path: Path, garbage: bytes) -> None:
    path = copied(built, tmp_path / "copy") / GRAPHS_NAME / "float32.xml"
    path.write_bytes(garbage)
    with pytest.raises(PackageError, match=r"float32\.xml: OpenVINO .* cannot read it: .") as caught:
        CompiledGraph(path, "float32", 2, 2)
    assert "\n" not in str(caught.value)


def test_weights_cut_short_are_refused_in_one_line(built: Path, tmp_path: Path) -> None:
    path = copied(built, tmp_path / "copy") / GRAPHS_NAME / "float32.xml"
    path.with_suffix(".bin").write_bytes(b"\0" * 100)
    with pytest.raises(PackageError, match=r"float32\.xml: OpenVINO .* cannot read it: .") as caught:
        CompiledGraph(path, "float32", 2, 2)
    assert "\n" not in str(caught.value)
