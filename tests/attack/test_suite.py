import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from tests.attack import suite  # noqa: F401  # enters all attacks
from tests.attack.beside import Asker, Beside, Round, timed
from tests.attack.registry import ATTACKS
from tests.attack.report import Report
from tests.attack.smuggling import INNER, Layout, every_split, segments
from tests.attack.traps import json_of_webps, webps
from tests.attack.verdict import COLUMNS, Aftermath, Observation, complaints, doubtful, row
from tests.attack.wire import Answer, Heard, parse

MIB = 2**20
GOOD = Observation(
    "name",
    [Round(0.05, "right")] * 100,
    [Round(0.01, "right")] * 40,
    (400 * MIB, 500 * MIB),
    Report(Counter({"400": 7})),
    Aftermath(True, 0, 15, 15),
)


def test_a_server_that_stands_has_no_complaints():
    assert complaints(GOOD) == []
    one_late = replace(GOOD, honest=[*GOOD.honest[1:], Round(1.1, "right")])
    assert complaints(one_late) == []
    assert row(one_late)[1:4] == ["100", "99 %", "1100"]
    assert len(row(GOOD)) == len(COLUMNS)
    assert row(GOOD)[-2:] == ["400 × 7", "ok"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"honest": [Round(0.05, "right")] * 98 + [Round(0.05, "503")] * 2}, "98.0% of 100 honest"),
        ({"honest": [Round(0.05, "right")] * 98 + [Round(1.01, "right")] * 2}, "'late': 2"),
        ({"honest": [Round(0.05, "right")] * 98 + [Round(0.05, "wrong")] * 2}, "'wrong': 2"),
        ({"honest": []}, "nothing is shown"),
        ({"probes": []}, "nothing is shown"),
        ({"probes": [*GOOD.probes, Round(0.2, "right")]}, "/livez took 0.20 s"),
        ({"probes": [*GOOD.probes, Round(0.01, "503")]}, "/livez failed: {'503': 1}"),
        ({"held_and_peak_bytes": (MIB, 1024 * MIB)}, "memory peaked at 1024 MiB"),
        ({"report": Report(second_answers=1)}, "1 second answers"),
        ({"report": Report(wrongs=Counter({"a body was lost": 3}))}, "a body was lost (3 times)"),
        ({"after": replace(GOOD.after, alive=False)}, "did not answer afterwards"),
        ({"after": replace(GOOD.after, slots=1)}, "1 slots are still taken"),
        ({"after": replace(GOOD.after, descriptors=16)}, "16 descriptors are open; before it were 15"),
    ],
)
def test_each_bound_can_fail_alone(change, reason):
    (found,) = complaints(replace(GOOD, **change))
    assert reason in found
    assert row(replace(GOOD, **change))[-1] == "FAILED"


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({}, False),
        ({"honest": [Round(0.05, "right")] * 98 + [Round(1.01, "right")] * 2}, True),
        ({"probes": [*GOOD.probes, Round(0.3, "right")]}, True),
        ({"honest": [Round(0.05, "right")] * 98 + [Round(1.01, "wrong")] * 2}, False),
        ({"probes": [*GOOD.probes, Round(0.3, "503")]}, False),
        ({"report": Report(second_answers=1)}, False),
        ({"after": replace(GOOD.after, descriptors=16), "probes": [*GOOD.probes, Round(0.3, "right")]}, False),
    ],
)
def test_only_what_may_be_the_machines_doing_is_tried_again(change, again):
    assert doubtful(replace(GOOD, **change)) == again


def test_a_refusal_that_was_made_good_is_still_counted():
    seen = replace(GOOD, honest=[Round(0.6, "right", "503")] * 5)
    assert (seen.good, seen.refused) == (5, 5)


def answer(status: int, body: bytes = b"", request_id: bytes = b"x") -> bytes:
    head = b"HTTP/1.1 %d OK\r\ncontent-length: %d\r\nX-Request-ID: %s\r\n\r\n"
    return head % (status, len(body), request_id) + body


def test_answers_are_told_apart():
    received = b"HTTP/1.1 100 Continue\r\n\r\n" + answer(200, b"one") + answer(400) + b"HTTP/1."
    answers, interim, rest = parse(received)
    assert [(each.status, each.body) for each in answers] == [(200, b"one"), (400, b"")]
    assert (interim, rest) == (1, b"HTTP/1.")
    assert parse(answer(200, b"four")[:-1])[0] == []
    assert parse(b"<html>")[0][0].status == 0


def test_second_answers_are_counted():
    def heard(*received: bytes) -> Heard:
        return Heard(parse(b"".join(received))[0], 0, "open")

    report = Report()
    report.heard(heard(answer(200)), most=1)
    assert report.second_answers == 0
    report.heard(heard(answer(200), answer(200)), most=1)
    assert report.second_answers == 1
    report.heard(heard(answer(200), answer(200, b"", b"SMUGGLED")), most=2)
    assert report.second_answers == 2
    report.heard(Heard([], 0, "reset"))
    assert report.fates == Counter({"200": 5, "reset": 1})
    report.want("a body", heard(answer(400)), (200,))
    report.want("a refusal for want of room says nothing", heard(answer(503)), (200,))
    assert report.sentences() == ["a body: 400, not 200"]
    for number in range(20):
        report.wrong(str(number))
    assert report.sentences()[-1] == "and 13 more"


@pytest.mark.parametrize("later", [False, True])
def test_a_split_stream_is_the_whole_stream(later):
    layout = Layout(b"Connection: Upgrade\r\nUpgrade: h2c", 2, b"1.1", False, later, False)
    whole = b"".join(segments(layout, 0, b""))
    for split_at in every_split(layout):
        assert b"".join(segments(layout, split_at, b"")) == whole
    assert whole.endswith(b"\r\n\r\n" + INNER)
    assert segments(layout, every_split(layout)[-1], b"")[0].endswith(b"\r\n\r\n")
    assert whole.count(b"GET /livez") == 2


def test_the_traps_are_as_small_as_they_say():
    assert [len(file) for file in webps()] == [38, 38]
    assert len(json_of_webps()) < 2000


def test_every_attack_says_what_it_does():
    assert len(ATTACKS) > 40
    assert all(attack.run.__doc__ for attack in ATTACKS.values())


async def right_at_once(number: int) -> Round:
    async def asked() -> str:
        await asyncio.sleep(0.05)
        if number % 2:
            raise ConnectionResetError
        return "right"

    return await timed(asked())


def test_rounds_come_from_another_process():
    with Beside(Asker(right_at_once, 100)) as beside:
        beside.begin()
        first = beside.end()
        beside.begin()
        while len(rounds := beside.end()) < 6:
            pass
    assert len(first) < 6  # a beginning forgets
    assert {round_.outcome for round_ in rounds} == {"right", "ConnectionResetError"}
    assert all(round_.seconds >= 0.05 for round_ in rounds)


def test_an_answer_knows_whose_it_is():
    assert Answer(200, answer(200, b"", b"me")[:-4], b"").request_id == b"me"
