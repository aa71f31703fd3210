"""Owns attacks by heads that two parsers read in two ways; does not test what is read in one."""

from typing import Final, NamedTuple

from tests.attack.registry import Target, attack, together
from tests.attack.report import Report
from tests.attack.smuggling import INNER
from tests.attack.wire import request, talk

_POST: Final = b"POST /v1/classify HTTP/1.1"
_GET: Final = b"GET /livez HTTP/1.1"
_TE: Final = b"Transfer-Encoding: chunked"
_LENGTH: Final = b"Content-Length: %d" % len(INNER)
_CHUNK: Final = b"3\r\nabc\r\n0\r\n\r\n"
REFUSED: Final = (400, 501, 505)
NOTHING: Final = 0  # the connection ends without an answer


class Odd(NamedTuple):
    """Bytes, the statuses that their first answer may have, and how many answers there may be."""

    name: str
    sent: bytes
    wants: tuple[int, ...] = REFUSED
    most: int = 1


def _post(*fields: bytes, body: bytes = INNER) -> bytes:
    return request(_POST, body, *fields, length=False)


FRAMING: Final = (
    Odd("two lengths that differ", _post(b"Content-Length: 3", _LENGTH)),
    Odd("two lengths that agree", _post(_LENGTH, _LENGTH), (*REFUSED, 415)),
    Odd("two lengths in one field", _post(b"Content-Length: 3, %d" % len(INNER))),
    *(
        Odd(f"length {value!r}", _post(b"Content-Length: " + value, body=b"abc" + INNER))
        for value in (b"+3", b"-3", b"0x3", b"3.0", b"3 3", b"", b"3\0", b"\xb3", b"9" * 30, b'"3"')
    ),
    Odd("length with spaces around", _post(b"Content-Length: \t %d \t " % len(INNER)), (*REFUSED, 415)),
    Odd("length before chunked", _post(b"Content-Length: 3", _TE, body=_CHUNK + INNER)),
    Odd("chunked before length", _post(_TE, b"Content-Length: 3", body=_CHUNK + INNER)),
    *(
        Odd(f"coding {value!r}", _post(b"Transfer-Encoding:" + value, _LENGTH, body=b"0\r\n\r\n" + INNER))
        for value in (b" cHuNkEd", b"\tchunked", b" chunked ", b" chunked, identity", b" xchunked", b" \x0bchunked")
    ),
    *(
        Odd(f"only coding {value!r}", _post(b"Transfer-Encoding:" + value, body=INNER))
        for value in (b" identity", b" chunked, gzip", b" gzip", b" xchunked", b" chunked\0", b" ,")
    ),
    Odd(
        "coding with a space before the colon",
        _post(b"Transfer-Encoding : chunked", _LENGTH, body=b"0\r\n\r\n" + INNER),
    ),
    Odd("coding in two fields", _post(_TE, b"Transfer-Encoding: identity", body=b"0\r\n\r\n" + INNER)),
    Odd("chunked of HTTP/1.0", request(_POST[:-1] + b"0", b"0\r\n\r\n" + INNER, _TE, length=False), (*REFUSED, 415)),
    *(
        Odd(f"chunk {start!r}", _post(_TE, body=start + b"abc\r\n0\r\n\r\n" + INNER))
        for start in (
            b"0x3\r\n",
            b"+3\r\n",
            b"3 \n",
            b"3\n",
            b"3\r",
            b" 3\r\n",
            b"-3\r\n",
            b"\r\n",
            b"fffffffffffffffff3\r\n",
        )
    ),
    Odd("chunk longer than it says", _post(_TE, body=b"2\r\nabc\r\n0\r\n\r\n" + INNER), (*REFUSED, NOTHING)),
    Odd("chunk extension with a bare CR", _post(_TE, body=b"3;a=\rb\r\nabc\r\n0\r\n\r\n" + INNER)),
)

LINES: Final = (
    Odd("bare LF", _GET + b"\nHost: t\n\n" + INNER),
    Odd("bare LF at the end of the head", _GET + b"\r\nHost: t\r\n\n" + INNER),
    Odd("bare CR", _GET + b"\r\nHost: t\rX: y\r\n\r\n" + INNER),
    Odd("folded line", request(_GET, b"", b"X: a\r\n b") + INNER),
    Odd("folded first line", _GET + b"\r\n Host: t\r\n\r\n" + INNER),
    Odd("NUL in a value", request(_GET, b"", b"X: a\0b") + INNER),
    Odd("NUL in a name", request(_GET, b"", b"X\0: a") + INNER),
    Odd("no colon", request(_GET, b"", b"Nonsense") + INNER),
    Odd("no name", request(_GET, b"", b": a") + INNER),
    Odd("space before the colon", request(_GET, b"", b"Content-Length : 5") + INNER),
    Odd("HTTP/0.9", b"GET /livez\r\n\r\n" + INNER, (*REFUSED, NOTHING)),
    Odd("HTTP/0.9 by name", request(b"GET /livez HTTP/0.9") + INNER),
    Odd("HTTP/1.2", request(b"GET /livez HTTP/1.2") + INNER),
    Odd("HTTP/2 by name", request(b"GET /livez HTTP/2.0") + INNER),
    Odd("http in small letters", request(b"GET /livez http/1.1") + INNER),
    Odd("two spaces", request(b"GET  /livez HTTP/1.1"), (*REFUSED, 200)),
    Odd("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INNER, (*REFUSED, NOTHING)),
    Odd("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + INNER, (*REFUSED, NOTHING)),
    Odd("CONNECT", request(b"CONNECT t:80 HTTP/1.1") + INNER, (*REFUSED, 405)),
    Odd("CONNECT with a length", request(b"CONNECT t:80 HTTP/1.1", INNER), (*REFUSED, 405)),
    Odd("Connection: close", request(_GET, b"", b"Connection: close") + INNER, (200,)),
    Odd("close of a POST", request(_POST, b"abc", b"Connection: close") + INNER, (415,)),
    Odd("close in a list", request(_GET, b"", b"Connection: x, Close") + INNER, (200,)),
    Odd("HTTP/1.0", request(b"GET /livez HTTP/1.0") + INNER, (200,)),
    Odd("GET with a body", request(_GET, INNER), (200, 400)),
)

HOSTS: Final = (
    Odd("no Host", _GET + b"\r\nX: y\r\n\r\n"),
    Odd("two Hosts", request(_GET, b"", b"Host: u")),
    Odd("two equal Hosts", request(_GET, b"", b"Host: t")),
    *(
        Odd(f"Host {value!r}", _GET + b"\r\nHost: " + value + b"\r\n\r\n")
        for value in (b"a b", b"t, u", b"t/livez", b"t\0", b"user@t", b"t:port", b"t#x", b"t?x")
    ),
    Odd("Host [::1]:80", _GET + b"\r\nHost: [::1]:80\r\n\r\n", (200,)),
    Odd("no Host in HTTP/1.0", b"GET /livez HTTP/1.0\r\n\r\n", (200,)),
    Odd("absolute target", request(b"GET http://u/livez HTTP/1.1"), (200, 400, 404)),
)


async def _all(target: Target, report: Report, odds: tuple[Odd, ...]) -> None:
    """Each in one segment, and cut in the middle."""

    async def one(odd: Odd, *sent: bytes) -> None:
        heard = await talk(target.port, *sent, answers=odd.most + 1, patience_s=0.5)
        report.heard(heard, odd.most)
        report.want(odd.name, heard, odd.wants)

    cut = [one(odd, odd.sent[: len(odd.sent) // 2], odd.sent[len(odd.sent) // 2 :]) for odd in odds]
    await together([*(one(odd, odd.sent) for odd in odds), *cut], 8)


@attack("framing read in two ways")
async def framing(target: Target, report: Report) -> None:
    """Lengths and transfer codings that contradict each other or the standard."""
    await _all(target, report, FRAMING)


@attack("lines read in two ways")
async def lines(target: Target, report: Report) -> None:
    """Odd line ends, names, versions and methods, with a request behind what ends a connection."""
    await _all(target, report, LINES)


@attack("odd Hosts")
async def hosts(target: Target, report: Report) -> None:
    """RFC 9112, section 3.2: none, several or an invalid one is answered with 400."""
    await _all(target, report, HOSTS)
