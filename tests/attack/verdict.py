"""Owns what an attack showed, and whether that is good enough; does not measure."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from tests.attack.beside import Round
from tests.attack.honest import IN_TIME_S
from tests.attack.report import Report

LEAST_SHARE: Final = 0.99
PROBE_S: Final = 0.2
MOST_BYTES: Final = 2**30
_LEAST_ROUNDS: Final = 5  # below that nothing was shown
_MIB: Final = 2**20


@dataclass(frozen=True)
class Aftermath:
    """The server once the attackers have gone."""

    alive: bool  # it answers /livez and a photograph
    slots: float
    descriptors: int
    descriptors_before: int


@dataclass(frozen=True)
class Observation:
    """All that was seen of one attack."""

    name: str
    honest: list[Round]
    probes: list[Round]
    held_and_peak_bytes: tuple[int, int]  # resident before the attack, and at most during it
    report: Report
    after: Aftermath

    @property
    def good(self) -> int:
        """Honest requests answered rightly and in time."""
        return sum(round_.outcome == "right" and round_.seconds <= IN_TIME_S for round_ in self.honest)

    @property
    def refused(self) -> int:
        """Honest requests that met a 503, those that were served at the second try too."""
        return sum("503" in (round_.outcome, round_.first) for round_ in self.honest)


def complaints(seen: Observation) -> list[str]:
    """Why the server has failed; none if it has not."""
    found = []
    share = seen.good / max(1, len(seen.honest))
    if min(len(seen.honest), len(seen.probes)) < _LEAST_ROUNDS:
        found.append(f"only {len(seen.honest)} honest requests and {len(seen.probes)} probes: nothing is shown")
    elif share < LEAST_SHARE:
        others = dict(Counter(_kind(round_) for round_ in seen.honest if _kind(round_) != "good"))
        found.append(
            f"{share:.1%} of {len(seen.honest)} honest requests right within {IN_TIME_S:g} s; the others: {others}"
        )
    if failed := Counter(probe.outcome for probe in seen.probes if probe.outcome != "right"):
        found.append(f"/livez failed: {dict(failed)} of {len(seen.probes)}")
    if (slowest := slowest_s(seen.probes)) >= PROBE_S:
        found.append(f"/livez took {slowest:.2f} s")
    held, peak = seen.held_and_peak_bytes
    if peak >= MOST_BYTES:
        found.append(f"memory peaked at {peak / _MIB:.0f} MiB, of which {held / _MIB:.0f} were held before")
    if seen.report.second_answers:
        found.append(f"{seen.report.second_answers} second answers")
    found += seen.report.sentences()
    if not seen.after.alive:
        found.append("the server did not answer afterwards")
    if seen.after.slots:
        found.append(f"{seen.after.slots:g} slots are still taken")
    if seen.after.descriptors > seen.after.descriptors_before:
        found.append(f"{seen.after.descriptors} descriptors are open; before it were {seen.after.descriptors_before}")
    return found


def doubtful(seen: Observation) -> bool:
    """Whether all that is held against the server is that somebody waited, or one request of fewer than a hundred.

    The former may have been the machine's doing, and the latter is no share yet: a longer attack tells.
    """
    honest, probes = ([asking._replace(seconds=0.0) for asking in rounds] for rounds in (seen.honest, seen.probes))
    right = [asking for asking in honest if _kind(asking) == "good"]
    honest = right if len(honest) - len(right) == 1 else honest
    return bool(complaints(seen)) and not complaints(replace(seen, honest=honest, probes=probes))


def slowest_s(rounds: list[Round]) -> float:
    """The longest of them, however it ended; 0 of none."""
    return max((round_.seconds for round_ in rounds), default=0.0)


def row(seen: Observation) -> list[str]:
    """The cells of the table, in the order of `COLUMNS`."""
    share = f"{100 * seen.good / len(seen.honest):.0f} %" if seen.honest else "–"
    return [
        seen.name,
        str(len(seen.honest)),
        share,
        f"{1000 * slowest_s(seen.honest):.0f}",
        str(seen.refused),
        f"{1000 * slowest_s(seen.probes):.0f}",
        f"{seen.held_and_peak_bytes[1] / _MIB:.0f}",
        str(seen.report.second_answers),
        ", ".join(f"{fate} × {count}" for fate, count in seen.report.fates.most_common(6)) or "–",
        "FAILED" if complaints(seen) else "ok",
    ]


COLUMNS: Final = (
    *("attack", "honest", "in 1 s", "slowest ms", "503", "/livez ms", "peak MiB", "second", "the attack's own", ""),
)


def _kind(round_: Round) -> str:
    if round_.outcome != "right":
        return round_.outcome
    return "good" if round_.seconds <= IN_TIME_S else "late"
