"""The service judges 100,000 mutated bodies as Python's own JSON decoder does."""

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NoReturn

import pytest

from in_process import assert_problem, run
from zama_api.app import MAX_BODY_BYTES

BODIES: Final = 100_000
SEED: Final = 20_260_102
chosen: Final = random.Random(SEED)  # noqa: S311 - repeatable on purpose

# Valid or nearly valid bodies, a few mutations away from every branch of the decoder.
CORPUS: Final = (
    b'{"a":2,"b":40}',
    b' {\n\t"b" : -1 ,\r\n"a" : 0 } ',
    b'{"a":9223372036854775807,"b":-9223372036854775808}',
    b'{"a":9223372036854775808,"b":18446744073709551616}',
    b'{"a":-0,"b":12345678901234567890123}',
    b'{"\\u0061":1,"\\u0062":2}',
    b'{"a":1,"a":2,"b":3}',
    b'{"a":1,"b":2,"c":"\\ud83d\\ude00 \\n\\"\\\\ \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"}',
    b'{"a":1,"b":2,"":[{},[],null,true,false,"",0.1e-2]}',
    b'{"a":1.5,"b":1e2}',
    b'{"a":-1E+400,"b":0.0}',
    b'{"a":"1","b":null}',
    b'{"a":true,"b":[2]}',
    b'{"c":{"a":1,"b":2}}',
    b'[{"a":1,"b":2}]',
    b'"a"',
    b"null",
    b"-0.0",
    b"{}",
    b"[]",
    b"",
    # Dialects that are not JSON.
    *(b'{"a":2,"b":40,}', b"{'a':2,'b':40}", b"{a:2,b:40}", b'{"a":2,"b":40} // sum', b"a=2&b=40"),
    *('{"a":2,"b":40}'.encode("utf-16"), b'\xef\xbb\xbf{"a":2,"b":40}', b'{"a":2,"b":40}\0'),
    *(b'{"a":2,"b":40}{"a":2,"b":40}', b'{"a":NaN,"b":40}', b'{"a":2,"b":40,"c":-Infinity}'),
    *(b'{"a":02,"b":40}', b'{"a":+2,"b":40}', b'{"a":0x2,"b":40}', b'{"a":2.,"b":40}'),
    *(b'{"a":2,"b":40,"c":"\xff"}', b'{"a":"\xc0\xaf","b":40}', b'{"a":2,"b":40,"c":"\n"}'),
    *(b'{"a":2,"b":40,"c":["\xed\xa0\x80"]}', b'{"a":2,"b":40,"c":"\\x"}', b'{"a":-,"b":40}'),
    *(b"[" * 1024, b'{"a":' * 204, b"[" * 100 + b"]" * 100),
)
NUMBERS: Final = (
    *(b"0", b"-0", b"1", b"-1", b"7", b"9223372036854775807", b"9223372036854775808"),
    *(b"-9223372036854775808", b"-9223372036854775809", b"18446744073709551615"),
    *(b"1.0", b"1e2", b"-1E-7", b"1e400", b"0." + b"0" * 400 + b"1", b"9" * 400, b"-" + b"9" * 400),
    *(b"01", b"+1", b"-", b".5", b"1.", b"1e", b"0x1", b"1_0", b"NaN", b"Infinity", b"-Infinity"),
)
# JSON's tokens, and invalid ones that resemble them.
TOKENS: Final = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b" ", b"\n", b"\t", b"\r", b"\x0b", b"\0"),
    *(b'"a":', b'"b":', b'"c":', b'"a"', b"null", b"true", b"false", b"tru", b"//", b"/**/", b"'"),
    *(b"\\u0061", b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b"\\u12", b"\\x", b"\\/", b"\\u0000"),
    *(b"\xef\xbb\xbf", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\xf4\x90\x80\x80"),
    *(b"\x7f", b"\x1f", b"\x85", b"\xa0"),
)
NUMBER: Final = re.compile(rb"-?[0-9][0-9.eE+-]*")

INT64: Final = range(-(2**63), 2**63)


def _unchanged() -> bytes:
    if chosen.random() < 0.3:
        bits = chosen.randrange(1, 68)
        a, b = (chosen.getrandbits(bits) - (1 << bits - 1) for _ in range(2))
        return b'{"a":%d,"b":%d}' % (a, b)
    return chosen.choice(CORPUS)


def _place(body: bytes) -> int:
    return chosen.randrange(len(body) + 1)


def _replace(body: bytes) -> bytes:
    # A negative length repeats a part of the body.
    start, length = _place(body), chosen.choice((0, 0, 1, 1, 2, 4, 1024, -1, -4))
    other = _unchanged()
    new = (b"", chosen.choice(TOKENS), chosen.randbytes(1), other[_place(other) :])
    return body[:start] + chosen.choice(new) + body[max(0, start + length) :]


def _edit_a_number(body: bytes) -> bytes:
    numbers = [number.span() for number in NUMBER.finditer(body)] or [(len(body), len(body))]
    start, end = chosen.choice(numbers)
    return body[:start] + chosen.choice(NUMBERS) + body[end:]


def _nest(body: bytes) -> bytes:
    left, right = chosen.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"[[{},", b"]]")))
    depth = chosen.choice((1, 2, 10, 170, 480, 1100))
    # Sometimes unclosed, like an attack that nests as deeply as possible.
    return left * depth + body + right * chosen.choice((depth, depth, depth - 1, 0))


def _pad(body: bytes) -> bytes:
    size = MAX_BODY_BYTES + chosen.choice((-1, 0, 1))
    return chosen.choice((body.ljust(size), body.rjust(size)))


def _bodies() -> Iterator[bytes]:
    """Yield distinct bodies: the corpus, then bodies with up to three mutations."""
    yield from CORPUS
    made = set(CORPUS)
    while True:
        body = _unchanged()
        for _ in range(chosen.choice((0, 1, 1, 1, 2, 3))):
            changes = (*[_replace] * 8, *[_edit_a_number] * 2, _nest, _pad)
            body = chosen.choice(changes)(body)
        if body not in made:
            made.add(body)
            yield body


class Members(list[tuple[str, Any]]):
    """The members of an object, including repeated ones."""


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


decode = json.JSONDecoder(object_pairs_hook=Members, parse_float=str, parse_constant=_refuse).decode


def expected(body: bytes) -> tuple[int, int | None]:
    """Return the status and, for 200, the sum, according to Python's decoder."""
    if len(body) > MAX_BODY_BYTES:
        return 413, None
    try:
        # Decode first: given bytes, Python guesses UTF-16 and UTF-32, which RFC 8259 forbids.
        value = decode(body.decode())
        # Python accepts a lone surrogate escape, which encodes no character. RFC 8259 (8.2) leaves
        # the behaviour open and RFC 7493 (2.1) forbids it; the service answers 400.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        # JSON too deep for Python is unclosed here: over half of its 1024 bytes are brackets.
        return 400, None
    members = value if isinstance(value, Members) else []
    numbers = [number for _, number in members if type(number) is int and number in INT64]
    if sorted(name for name, _ in members) == ["a", "b"] and len(numbers) == len(members):
        return 200, sum(dict(members).values())
    return 422, None


@pytest.fixture
def _untraced() -> Iterator[None]:
    """Measure no coverage, which would triple the test's time; others cover the code."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


@pytest.mark.usefixtures("_untraced")
def test_a_hundred_thousand_bodies_are_judged_as_python_judges_them() -> None:
    """Every body gets the expected 200, 400, 413 or 422, and none makes the service fail."""
    statuses: Counter[int] = Counter()
    with run() as service:
        for number, body in enumerate(islice(_bodies(), BODIES)):
            response = service.sum(body)

            place = f"body {number} of seed {SEED}: {body!r}"
            status, total = expected(body)
            assert response.status == status, place
            if status == 200:
                assert response.json == {"sum": total}, place
            else:
                assert_problem(response, status)
            statuses[status] += 1

    for status in (200, 400, 413, 422):
        assert statuses[status] > statuses.total() / 100, f"few {status}: {statuses}"
