"""Owns what an attack has to tell: the fates of its requests, and what went wrong; does not judge a server."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from tests.attack.wire import Heard

SMUGGLED: Final = b"SMUGGLED"  # the X-Request-ID of bytes that are never a request of their own
_MOST_WRONGS: Final = 8  # that are told of one attack; the rest are counted


@dataclass
class Report:
    """Filled while an attack runs; it travels back from the attacker's process."""

    fates: Counter[str] = field(default_factory=Counter)
    second_answers: int = 0
    wrongs: Counter[str] = field(default_factory=Counter)

    def heard(self, heard: Heard, most: int | None = None) -> None:
        """Counts how a connection's requests ended; answers above `most`, or to smuggled bytes, are second ones."""
        statuses = [str(status) if status else "no HTTP" for status in heard.statuses]
        self.fates.update(statuses or [heard.end if heard.end != "open" else "no answer"])
        smuggled = sum(SMUGGLED in answer.request_id for answer in heard.answers)
        self.second_answers += max(smuggled, 0 if most is None else len(heard.answers) - most)

    def want(self, what: str, heard: Heard, statuses: Collection[int]) -> None:
        """The first answer must be one of these; none at all may be asked for with 0. A 503 says nothing either way."""
        got = heard.statuses[0] if heard.answers else 0
        if got not in statuses and got != 503:
            self.wrong(f"{what}: {got or 'no answer'}, not {' or '.join(str(status or 'none') for status in statuses)}")

    def wrong(self, sentence: str) -> None:
        """Something happened that must not, whatever it did to others."""
        self.wrongs[sentence] += 1

    def sentences(self) -> list[str]:
        """What went wrong, the most frequent first."""
        told = [
            f"{text} ({count} times)" if count > 1 else text for text, count in self.wrongs.most_common(_MOST_WRONGS)
        ]
        return [*told, f"and {len(self.wrongs) - len(told)} more"] if len(self.wrongs) > len(told) else told
