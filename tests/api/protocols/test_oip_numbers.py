import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.protocols import oip_numbers
from app.api.protocols.oip_numbers import read_numbers, take_numbers
from app.errors import MalformedRequest

LONG = [float(number) / 7 for number in range(-500, 500)]


def restored(document: dict[str, Any] | list[Any]) -> Any:
    """The document after its lists were taken out and put back."""
    body = json.dumps(document).encode()
    rest, numbers = take_numbers(body)

    def put_back(found: re.Match[bytes]) -> bytes:
        name = found[1].decode()
        return bytes(numbers[name]) if name in numbers else found[0]

    return json.loads(re.sub(rb'"([^"]*)"', put_back, bytes(rest)))


@pytest.mark.parametrize(
    "document",
    [
        {"inputs": [{"name": "a", "shape": [2], "data": LONG, "datatype": "FP32"}]},
        {"inputs": [{"shape": [2], "data": [LONG, [LONG, LONG]]}, {"data": LONG}], "outputs": []},
        {"data": LONG, "id": "[1,2,3"},
        {"id": "]" * 2000, "x": [[[]]] * 300, "data": LONG},
        LONG,
    ],
)
def test_lists_are_taken_out_whole_and_nothing_else_is(document: Any) -> None:
    assert restored(document) == document


def test_what_is_left_is_short() -> None:
    rest, numbers = take_numbers(json.dumps({"inputs": [{"data": LONG}, {"data": [LONG] * 100}]}).encode())
    assert len(rest) < 200
    assert sorted(map(len, numbers.values())) == [len(json.dumps(LONG)), len(json.dumps([LONG] * 100))]


def test_a_body_without_long_lists_is_not_copied() -> None:
    body = b'{"inputs": [{"data": ["' + b"A" * 5000 + b'"]}]}'
    assert take_numbers(body)[0] is body


def test_a_thousand_lists_are_too_many() -> None:
    with pytest.raises(MalformedRequest, match="1000 lists"):
        take_numbers(b'["a",' * 1001)


@given(
    st.lists(
        st.floats(allow_nan=False, width=32) | st.integers(-(2**24), 2**24) | st.lists(st.integers(0, 9), min_size=1),
        min_size=1,
    ),
    st.integers(30, 60),
)
def test_numbers_are_those_of_a_parser_of_json_however_they_are_cut(numbers: list[Any], piece_bytes: int) -> None:
    flat = [each for number in numbers for each in (number if isinstance(number, list) else [number])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oip_numbers, "_PIECE_BYTES", piece_bytes)
        read = read_numbers(memoryview(json.dumps(numbers).encode()), len(flat), np.float32)
    assert read.tolist() == np.array(flat, np.float32).tolist()


@pytest.mark.parametrize(
    ("text", "dtype", "cause"),
    [
        ("[1, 2]", "f4", "2 numbers; its shape says 3"),
        ("[1, 2, 3, 4]", "f4", "more numbers than the 3"),
        ("[]", "f4", "fewer numbers than the 3"),
        ("[1, 2 3]", "f4", "cannot be read as float32"),
        ("[1, true, 3]", "f4", "more than numbers"),
        ('[1, "2", 3]', "f4", "more than numbers"),
        ("[1, null, 3]", "f4", "more than numbers"),
        ("[1, {}, 3]", "f4", "more than numbers"),
        ("[1, 2.0, 3]", "u1", "not whole"),
        ("[1, 256, 3]", "u1", "cannot be read as uint8"),
        ("[1, -1, 3]", "u1", "cannot be read as uint8"),
        (f"[1, {10**400}, 3]", "f4", "cannot be read as float32"),
        (f"[1, {'1' * 20_000}, 3]", "f4", "longer than"),
    ],
)
def test_what_is_no_such_list(text: str, dtype: str, cause: str) -> None:
    with pytest.raises(MalformedRequest, match=cause):
        read_numbers(memoryview(text.encode()), 3, dtype)


def test_a_number_beyond_float32_is_infinite_for_whoever_checks_ranges() -> None:
    assert read_numbers(memoryview(b"[1e39]"), 1, np.float32).tolist() == [float("inf")]
