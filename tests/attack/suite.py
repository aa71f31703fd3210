"""Owns running attacks one after the other beside honest clients; does not judge what is seen."""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from tests.attack import blocking, bombs, contracts, heads, leaving, pressing, slow, smuggling  # noqa: F401  # they enter
from tests.attack.beside import Beside
from tests.attack.honest import photographs, probes
from tests.attack.registry import ATTACKS, Attack, Target
from tests.attack.report import Report
from tests.attack.verdict import Aftermath, Observation
from tests.attack.victim import Victim, victim

_PREPARED_S: Final = 60.0  # within which an attacker must have made what it sends
_LONGER: Final = 4
_OVERTIME_S: Final = 15.0  # beyond its time, for probes that are counted and not timed
_SURE: Final = 0.6  # photographs whose label a little noise might turn say nothing about an attack


def run(
    attacks: Iterable[Attack],
    seconds: float,
    images: list[bytes],
    folder: Path,
    doubtful: Callable[[Observation], bool] = lambda _: False,
) -> Iterator[Observation]:
    """What each attack showed, as soon as it is over; servers with the same limits are shared.

    What is doubtful is tried once more, for longer: of 17 honest answers one that the machine delays is too many.
    """
    small = min(images, key=len)
    ordered = sorted(attacks, key=lambda attack: attack.descriptors or 0)
    for limit, group in groupby(ordered, key=lambda attack: attack.descriptors):
        with ExitStack() as stack:
            target = stack.enter_context(victim(folder / f"server-{limit}.log", limit))
            known = [(image, label) for image in images for label, score in [target.label(image)] if score >= _SURE]
            honest = stack.enter_context(Beside(photographs(target.port, known)))
            prober = stack.enter_context(Beside(probes(*target.ports)))
            time.sleep(1)  # connections that are kept get opened
            for attack in group:
                yield (seen := _observe(attack, seconds, target, honest, prober, small))
                if doubtful(seen):
                    yield _observe(attack, _LONGER * seconds, target, honest, prober, small)


def _observe(
    attack: Attack, seconds: float, target: Victim, honest: Beside, prober: Beside, image: bytes
) -> Observation:
    spawn = multiprocessing.get_context("spawn")
    pipe, other = spawn.Pipe()
    attacker = spawn.Process(
        target=_attack, args=(attack.name, Target(target.port, seconds, image, target.grpc_port), other), daemon=True
    )
    attacker.start()
    try:
        if not pipe.poll(_PREPARED_S):
            raise TimeoutError(f"{attack.name} was not prepared in time")
        pipe.recv()
        before = target.at_rest()
        held = target.forget_peak()
        honest.begin()
        prober.begin()
        pipe.send("go")
        report = _reported(pipe, seconds + _OVERTIME_S)
    finally:
        attacker.kill()  # with it go its connections, as those of a stranger would
        attacker.join()
    slots, descriptors = target.settle(before)  # honest clients go on meanwhile: what is left over may harm them still
    rounds, probed = honest.end(), prober.end()
    after = Aftermath(target.answers(image), slots, descriptors, before)
    return Observation(attack.name, rounds, probed, (held, target.peak_bytes()), report, after)


def _reported(pipe: Connection, seconds: float) -> Report:
    try:
        if pipe.poll(seconds):
            report: Report = pipe.recv()
            return report
        sentence = "the attack did not come to its end: nothing is shown"
    except EOFError:
        sentence = "the attacker broke down: nothing is shown"
    report = Report()
    report.wrong(sentence)
    return report


def _attack(name: str, target: Target, pipe: Connection) -> None:
    """The attacker's process."""
    attack, report = ATTACKS[name], Report()
    for make in attack.needs:
        make()
    pipe.send("prepared")
    pipe.recv()
    until = time.monotonic() + target.seconds
    while True:  # what is over sooner begins again
        asyncio.run(attack.run(target, report))
        if time.monotonic() > until:
            break
    pipe.send(report)
