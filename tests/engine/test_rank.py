"""Owns the tests of engine/rank.py."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.domain import Candidate, Scoring
from app.engine import rank as module
from app.engine.opened import Wish
from app.engine.rank import Proven, candidates, choose, compiled, weights_of
from app.engine.runners.openvino import CPU, infer
from app.errors import DeviceError, ExportFailed
from app.graphs.agreement import disagreement
from app.graphs.folder import GRAPHS_NAME, read_graphs
from tests.graphs.tiny import copied, with_int8

PLAIN, WITH_BFLOAT16 = CPU("plain", bfloat16=False), CPU("with more", bfloat16=True)


def wish(precision: str = "auto", cores: int = 2) -> Wish:
    return Wish("auto", "cpu", precision, cores, 4, Path("/nowhere"))


def rated(precision: str, rate: float | None, why_not: str | None = None, engine: str = "openvino") -> Candidate:
    return Candidate(engine, precision, 2, rate, why_not)  # type: ignore[arg-type]


@pytest.fixture
def proven(built: Path, key: str) -> Proven:
    graphs = read_graphs(built / GRAPHS_NAME, key)
    return Proven(graphs.paths, graphs.probes, graphs.logits, Scoring())


@pytest.fixture
def with_both(built: Path, key: str, tmp_path: Path) -> Proven:
    graphs = read_graphs(with_int8(copied(built, tmp_path / "both"), key) / GRAPHS_NAME, key)
    return Proven(graphs.paths, graphs.probes, graphs.logits, Scoring())


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MEASURE_S", 0.01)


def test_the_fastest_is_chosen_whoever_it_is() -> None:
    found = [rated("float32", 100), rated("bfloat16", 180), rated("bfloat16", 181, engine="torch"), rated("int8", 50)]
    assert choose(found) is found[2]
    assert choose(found[:2]) is found[1]
    assert choose([found[0]]) is found[0]


@pytest.mark.parametrize("precision", ["int8", "int8+bfloat16"])
@pytest.mark.parametrize(("rate", "chosen"), [(109.9, False), (110.1, True), (500.0, True)])
def test_int8_must_be_faster_by_a_tenth(precision: str, rate: float, chosen: bool) -> None:
    found = [rated("float32", 90), rated("bfloat16", 100), rated(precision, rate)]
    assert choose(found) is found[2 if chosen else 1]
    assert choose(found[::-1]) is found[2 if chosen else 1]


def test_int8_alone_is_chosen_whatever_it_does() -> None:
    found = [rated("int8", 3), rated("int8+bfloat16", 2)]
    assert choose(found) is found[0]
    found = [rated("float32", None, "a logit differs by 3"), rated("int8", 3)]
    assert choose(found) is found[1]


def test_what_disagrees_or_was_not_measured_is_never_chosen() -> None:
    found = [
        rated("float32", 1),
        rated("bfloat16", 1000, "a score differs by 0.3"),
        rated("int8", 1000, "it gives what is no number"),
        rated("bfloat16", None),
        rated("int8", None, "not measured, there was no time left"),
    ]
    assert choose(found) is found[0]


def test_where_nothing_holds_each_reason_is_told() -> None:
    with pytest.raises(ExportFailed, match="^float32: a logit differs by 3; bfloat16: a score differs by 0.3$"):
        choose([rated("float32", None, "a logit differs by 3"), rated("bfloat16", None, "a score differs by 0.3")])


@pytest.mark.parametrize(
    ("precision", "cpu", "expected"),
    [
        ("auto", PLAIN, ["float32"]),
        ("auto", WITH_BFLOAT16, ["bfloat16", "float32"]),
        ("float32", WITH_BFLOAT16, ["float32"]),
        ("bfloat16", PLAIN, ["bfloat16"]),
    ],
)
def test_formats_are_those_that_the_wish_and_the_processor_allow(
    proven: Proven, precision: str, cpu: CPU, expected: list[str]
) -> None:
    found = candidates(proven, wish(precision), cpu)
    assert [each.precision for each in found[: len(expected)]] == expected
    assert {each.engine for each in found} == {"openvino"}
    best = max(found[: len(expected)], key=lambda each: each.images_per_s or 0)
    assert [(each.precision, each.lanes) for each in found[len(expected) :]] == [(best.precision, 1)]


@pytest.mark.parametrize(
    ("precision", "cpu", "expected"),
    [
        ("auto", PLAIN, ["int8", "float32"]),
        ("auto", WITH_BFLOAT16, ["int8", "int8+bfloat16", "bfloat16", "float32"]),
        ("int8", PLAIN, ["int8"]),
        ("int8", WITH_BFLOAT16, ["int8", "int8+bfloat16"]),
        ("float32", WITH_BFLOAT16, ["float32"]),
    ],
)
def test_int8_is_measured_where_there_is_a_graph(
    with_both: Proven, precision: str, cpu: CPU, expected: list[str]
) -> None:
    found = candidates(with_both, wish(precision, cores=1), cpu)
    assert [(each.precision, each.lanes) for each in found] == [(each, 1) for each in expected]
    assert all(each.images_per_s for each in found)


def test_without_a_float_graph_int8_is_all_there_is(with_both: Proven) -> None:
    alone = with_both._replace(paths={"int8": with_both.paths["int8"]}, logits={"int8": with_both.logits["int8"]})
    found = candidates(alone, wish(cores=1), WITH_BFLOAT16)
    assert [each.precision for each in found] == ["int8", "int8+bfloat16"]


@pytest.mark.parametrize(("cores", "lanes"), [(1, [1]), (2, [2, 1]), (3, [3, 2, 1]), (4, [4, 2, 1]), (9, [4, 8, 2, 1])])
def test_the_best_format_is_tried_with_other_numbers_of_lanes(proven: Proven, cores: int, lanes: list[int]) -> None:
    found = candidates(proven, wish("float32", cores), PLAIN)
    assert [each.lanes for each in found] == lanes


def test_wrong_answers_are_told_and_not_measured(with_both: Proven) -> None:
    wrong = with_both._replace(logits={**with_both.logits, "int8": -with_both.logits["int8"]})
    found = candidates(wrong, wish(cores=1), PLAIN)
    assert [each.images_per_s is None for each in found] == [True, False]
    assert found[0].why_not and "another class first" in found[0].why_not
    assert choose(found).precision == "float32"


def test_float32_must_be_exact_where_others_need_not(with_both: Proven) -> None:
    off = {name: each + 1e-3 for name, each in with_both.logits.items()}
    found = {each.precision: each for each in candidates(with_both._replace(logits=off), wish(cores=1), WITH_BFLOAT16)}
    assert found["float32"].why_not == "a logit differs by 0.001"
    assert [found[each].why_not for each in ("bfloat16", "int8", "int8+bfloat16")] == [None] * 3


@pytest.mark.parametrize(("precision", "taken"), [("bfloat16", True), ("float32", False), ("int8", False)])
def test_who_names_bfloat16_gets_it_as_it_is_and_nothing_else(with_both: Proven, precision: str, taken: bool) -> None:
    wrong = with_both._replace(logits={name: -each for name, each in with_both.logits.items()})
    found = candidates(wrong, wish(precision, cores=1), PLAIN)
    assert [each.why_not is None for each in found] == [taken]
    assert candidates(wrong, wish(cores=1), WITH_BFLOAT16)[2].why_not  # nobody named it


def test_the_answers_are_judged_behind_the_temperature(proven: Proven) -> None:
    cold = proven._replace(logits={"float32": proven.logits["float32"] * 1.3})
    assert candidates(cold, wish(cores=1), WITH_BFLOAT16)[0].why_not
    assert not candidates(cold._replace(scoring=Scoring(temperature=100.0)), wish(cores=1), WITH_BFLOAT16)[0].why_not


def test_out_of_time_nothing_more_is_measured(with_both: Proven, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUDGET_S", -1.0)
    found = candidates(with_both, wish(), WITH_BFLOAT16)
    assert {each.why_not for each in found} == {"not measured, there was no time left"}
    assert {each.images_per_s for each in found} == {None}
    with pytest.raises(ExportFailed, match="no time left"):
        choose(found)


def test_a_late_start_leaves_out_the_last(proven: Proven, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUDGET_S", 0.0)
    clock = iter([0.0, 0.0, 1.0, 1.0, 1.0])
    monkeypatch.setattr("app.engine.rank.time.monotonic", lambda: next(clock))
    first, *rest = candidates(proven, wish(), WITH_BFLOAT16)
    assert first.images_per_s and not first.why_not
    assert len(rest) == 2 and all(each.why_not for each in rest)
    assert choose([first, *rest]) == first


@pytest.mark.parametrize(
    ("precision", "weights"),
    [("float32", "float32"), ("bfloat16", "float32"), ("auto", "float32"), ("int8", "int8"), ("int8+bfloat16", "int8")],
)
def test_each_format_has_its_graph(precision: str, weights: str) -> None:
    assert weights_of(precision) == weights


def test_compiled_in_the_format_that_was_measured(proven: Proven) -> None:
    for precision in ("float32", "int8"):
        graph = compiled(proven.paths["float32"], rated(precision, 1), 2)
        found = infer(graph.request(), proven.probes)
        assert disagreement(proven.logits["float32"], found, Scoring(), exact=True) is None


@pytest.mark.parametrize("precision", ["bfloat16", "int8+bfloat16"])
def test_bfloat16_is_asked_for_where_it_is_meant(
    proven: Proven, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(module, "CompiledGraph", lambda *arguments: asked.append(arguments))
    path = proven.paths["float32"]
    compiled(path, replace(rated(precision, 1), lanes=3), 5)
    assert asked == [(path, "bfloat16", 5, 3)]


def test_what_cannot_be_compiled_here_is_out_of_the_question(proven: Proven, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DeviceError("not on this CPU")

    monkeypatch.setattr(module, "CompiledGraph", refuse)
    found = candidates(proven, wish(), WITH_BFLOAT16)
    assert {each.why_not for each in found} == {"not on this CPU"}
    with pytest.raises(ExportFailed, match="not on this CPU"):
        choose(found)
