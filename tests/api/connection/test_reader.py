"""What the reader takes at a time and how much of a head it takes at all, without a connection around it."""

from collections.abc import Sequence

import pytest

from app.api.connection.head import BadRequestHead, Head
from app.api.connection.limits import ConnectionLimits
from app.api.connection.reader import RequestReader
from tests.api.connection.conftest import CHUNKED, GET, POST
from tests.api.connection.test_smuggling import INNER, WISH

LIMITS = ConnectionLimits()
MOST_A_SLICE = 3000  # events that may still come of the bytes which were already with the parser


class Heard:
    """A RequestSink that notes what it is told."""

    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.bodies: list[bytes] = []
        self.begun = self.ended = 0

    def request_begins(self) -> None:
        self.begun += 1

    def request_head(self, head: Head, keep_alive: bool) -> None:
        self.heads.append(head)

    def request_body(self, piece: bytes) -> None:
        self.bodies.append(piece)

    def request_ends(self) -> None:
        self.ended += 1


def reader() -> tuple[RequestReader, Heard]:
    sink = Heard()
    return RequestReader(sink, LIMITS), sink


def fed(data: bytes) -> Heard:
    subject, sink = reader()
    assert subject.feed(memoryview(data), 10**9) == len(data)
    return sink


def refusal_of(data: bytes) -> tuple[int, str]:
    with pytest.raises(BadRequestHead) as caught:
        fed(data)
    return caught.value.refusal.status, caught.value.refusal.code


def test_much_work_is_taken_in_turns() -> None:
    subject, sink = reader()
    left, most = memoryview(CHUNKED + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n"), 500
    turns = before = 0
    while left:
        left = left[subject.feed(left, most) :]
        turns += 1
        assert len(sink.bodies) - before <= most + MOST_A_SLICE
        before = len(sink.bodies)
    assert (turns > 5, len(sink.bodies), sink.ended) == (True, 20_000, 1)


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ([b"a: b\r\n"] * (LIMITS.max_headers - 1), False),  # with Host as many as there may be
        ([b"a: b\r\n"] * LIMITS.max_headers, True),
        ([b"a: %s\r\n" % (b"b" * 21_000)] * 3, False),
        ([b"a: %s\r\n" % (b"b" * 22_000)] * 3, True),  # 66 kB, of which the last slice holds the end
    ],
    ids=["as many", "one more", "as long", "longer"],
)
def test_heads_are_bounded_in_lines_and_in_bytes(headers: Sequence[bytes], refused: bool) -> None:
    head = GET[:-2] + b"".join(headers) + b"\r\n"
    if refused:
        assert refusal_of(head) == (431, "headers_too_large")
    else:
        assert fed(head).ended == 1


def test_trailers_are_no_headers() -> None:
    sink = fed(CHUNKED + b"1\r\na\r\n0\r\nHost: other\r\nAuthorization: x\r\n\r\n")
    assert [name for name, _ in sink.heads[0].headers] == [b"host", b"transfer-encoding"]
    assert (sink.begun, sink.ended) == (1, 1)


@pytest.mark.parametrize("wish", [b"", WISH], ids=["plain", "upgrade"])
def test_a_head_that_is_refused_keeps_its_own_code(wish: bytes) -> None:
    assert refusal_of(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: t\r\n" + wish + b"\r\n") == (414, "target_too_long")


def test_a_wish_for_another_protocol_does_not_end_the_request() -> None:
    subject, sink = reader()
    subject.feed(memoryview(POST + WISH + b"Content-Length: 5\r\n\r\n"), 10**9)
    assert (subject.in_request, subject.in_body, sink.ended) == (True, True, 0)
    subject.feed(memoryview(b"abcde"), 10**9)
    assert (subject.in_request, sink.ended, b"".join(sink.bodies)) == (False, 1, b"abcde")


@pytest.mark.parametrize("at_once", [True, False])
def test_http_1_0_has_one_request_whatever_it_asks_for(at_once: bool) -> None:
    old = b"POST / HTTP/1.0\r\nHost: t\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc"
    subject, sink = reader()
    for piece in (old + INNER,) if at_once else (old, INNER):
        assert subject.feed(memoryview(piece), 10**9) == len(piece)
    assert (sink.begun, len(sink.heads), sink.ended) == (1, 1, 1)


@pytest.mark.parametrize(
    ("method", "version", "hosts"),
    [(b"CONNECT", "1.1", 1), (b"GET", "0.9", 1), (b"GET", "2.0", 1), (b"GET", "1.1", 0), (b"GET", "1.0", 2)],
)
def test_a_head_judges_itself(method: bytes, version: str, hosts: int) -> None:
    with pytest.raises(BadRequestHead):
        Head(method, b"/", version, [(b"host", b"t")] * hosts).check()


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue"])
def test_who_waits_to_be_told_is_known(value: bytes) -> None:
    headers = [(b"host", b"t"), (b"expect", value)]
    assert Head(b"POST", b"/", "1.1", headers).wants_continue
    assert not Head(b"POST", b"/", "1.0", headers).wants_continue
