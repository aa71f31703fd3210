"""Owns what can become of a request that got no answer, and the record of all that were sent; does not judge them."""

from array import array
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

TIMEOUT, CLOSED, RESET, CONNECT, MALFORMED, TOO_LARGE, UNFINISHED = range(-1, -8, -1)
ERRORS: Final = {
    TIMEOUT: "timeout",  # the client's patience ended
    CLOSED: "closed",  # in order, before the answer was whole
    RESET: "reset",
    CONNECT: "connect",  # no connection could be had
    MALFORMED: "malformed",  # no HTTP/1.1
    TOO_LARGE: "too_large",  # a head or a body without end
    UNFINISHED: "unfinished",  # still waited for when the run was over; neither answered nor failed
}


class Rows(NamedTuple):
    """A column each, one row a request in the order of their ends; instants are monotonic seconds.

    `intended`: when it should have been sent; `sent`: when it was; `code`: the HTTP status, or an error's above.
    """

    intended: npt.NDArray[np.float64]
    sent: npt.NDArray[np.float64]
    ended: npt.NDArray[np.float64]
    code: npt.NDArray[np.int64]


class Record:
    """Every request of a run, 26 bytes each: percentiles are exact."""

    def __init__(self) -> None:
        self._intended, self._sent, self._ended = array("d"), array("d"), array("d")
        self._code = array("h")

    def __len__(self) -> int:
        return len(self._code)

    def add(self, intended: float, sent: float, ended: float, code: int) -> None:
        """One request is over."""
        self._intended.append(intended)
        self._sent.append(sent)
        self._ended.append(ended)
        self._code.append(code)

    def rows(self) -> Rows:
        """A copy."""
        intended, sent, ended = (np.array(each, np.float64) for each in (self._intended, self._sent, self._ended))
        return Rows(intended, sent, ended, np.array(self._code, np.int64))
