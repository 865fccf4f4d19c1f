"""Abuse gets a clear error or a closed connection, and other callers are not affected."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from stack import AUTHORISED, SUM_HEAD, UNLIMITED, Pair, Part, ProcessStack, connect, exchange, send
from zama_ops.contract_checks import SUM

# The pause of a slow caller between two bytes.
PAUSE_SECONDS = 1


@pytest.fixture(scope="module")
def pair(module_processes: ProcessStack) -> Pair:
    return module_processes.start(**UNLIMITED)


@pytest.fixture(params=["gateway", "api"])
def part(pair: Pair, request: pytest.FixtureRequest) -> Iterator[Part]:
    """Return the gateway and the API, and check that each answers a normal request afterwards."""
    part: Part = getattr(pair, request.param)
    yield part
    assert _quick(part)


def _quick(part: Part) -> bool:
    """Return whether a normal request takes less time than a slow caller's next byte."""

    def took() -> float:
        began = time.monotonic()
        assert send(part.url, "POST", "/sum", AUTHORISED, SUM).body == b'{"sum":42}'
        return time.monotonic() - began

    return min(took() for _ in range(3)) < PAUSE_SECONDS / 2


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def with_body(body: bytes) -> bytes:
    return SUM_HEAD + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


def test_a_body_of_1_mib_is_refused(part: Part) -> None:
    """The declared length is refused, and the caller gets the response even while sending."""
    response = exchange(part.url, with_body(b" " * 2**20))
    assert status(response) == 413


def test_a_header_of_64_kib_is_refused(part: Part) -> None:
    """Both servers refuse the head as too large."""
    response = exchange(part.url, SUM_HEAD + b"X-Large: " + b"x" * 2**16 + b"\r\n\r\n")
    assert status(response) == 431


def test_json_10000_deep_is_refused(part: Part) -> None:
    """It exceeds the limit of a body; smaller nested bodies are refused as invalid."""
    assert status(exchange(part.url, with_body(b"[" * 10_000 + b"]" * 10_000))) == 413
    assert status(exchange(part.url, with_body(b"[" * 1024))) == 400
    assert status(exchange(part.url, with_body(b"[" * 512 + b"]" * 512))) == 422


def test_an_integer_of_400_digits_is_refused(part: Part) -> None:
    """It is JSON, but not a 64-bit integer."""
    body = b'{"a": %s, "b": 1}' % (b"9" * 400)
    response = exchange(part.url, with_body(body))
    assert status(response) == 422
    assert b'"pointer":"/a"' in response


def test_stalled_bodies_do_not_stop_the_api(pair: Pair) -> None:
    """A compromised sidecar can open a thousand; all others are served, and readiness holds."""
    with contextlib.ExitStack() as stalled:
        for number in range(1000):
            declared = (b"Content-Length: 100", b"Transfer-Encoding: chunked")[number % 2]
            caller = stalled.enter_context(connect(pair.api.url))
            caller.sendall(SUM_HEAD + declared + b"\r\n\r\n6")
        assert _quick(pair.api)
        assert _quick(pair.gateway)
        assert pair.gateway.status("/readyz") == 200


@pytest.mark.parametrize(
    ("refused", "request_"),
    [
        (400, b"GARBAGE\r\n\r\n"),
        (400, b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b\x01c\r\n\r\n"),
        (400, b"GET /healthz HTTP/9.1\r\nHost: a\r\n\r\n"),
        (414, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
        (431, SUM_HEAD + b"X-A: " + b"x" * 50_000 + b"\r\n\r\n"),
        (431, SUM_HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(200)) + b"\r\n"),
    ],
)
def test_a_request_that_cannot_be_read_gets_a_problem(
    pair: Pair, refused: int, request_: bytes
) -> None:
    """The API's own port answers it as it answers all others."""
    head, _, body = exchange(pair.api.url, request_).partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert status(head) == problem["status"] == refused
    assert b"content-type: application/problem+json" in head
    assert problem["type"].startswith("/docs#")
    assert b"x-request-id: " + problem["request_id"].encode() in head
    assert pair.api.line(problem["request_id"])["status"] == refused


def test_a_repeated_member_is_refused(part: Part) -> None:
    """Some programs would read the first value, others the last."""
    response = exchange(part.url, with_body(b'{"a": 2, "b": 40, "a": 3}'))
    assert status(response) == 422
    assert b"`a` occurs more than once." in response


SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 50\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_request_with_two_lengths_is_refused(part: Part, lengths: bytes) -> None:
    """If two servers disagree about a request's length, a second request passes unseen."""
    response = exchange(part.url, SUM_HEAD + lengths + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert status(response) in {400, 501}
    assert response.count(b"HTTP/1.1 ") == 1


@contextlib.contextmanager
def slowly(url: str, data: bytes, pause: float) -> Iterator[Callable[[], bytes]]:
    """Send `data` a byte at a time while the block runs; yield a function to await the response."""
    stop = threading.Event()
    with connect(url, 30) as caller:

        def drip() -> None:
            with contextlib.suppress(OSError):
                for byte in data:
                    caller.sendall(bytes([byte]))
                    if stop.wait(pause):
                        return

        def response() -> bytes:
            dripping.join()
            received = b""
            with contextlib.suppress(ConnectionError):
                while chunk := caller.recv(65536):
                    received += chunk
            return received

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            yield response
        finally:
            stop.set()
            dripping.join()


def test_a_slow_body_does_not_delay_others(part: Part) -> None:
    """Others are served while one caller sends a byte a second; then it is served as well."""
    request = SUM_HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(SUM)
    with connect(part.url, 30) as caller:
        caller.sendall(request)
        for byte in SUM[:3]:
            caller.sendall(bytes([byte]))
            time.sleep(PAUSE_SECONDS)
            assert _quick(part)
        caller.sendall(SUM[3:])
        assert b'{"sum":42}' in caller.recv(65536)


def test_a_slow_head_ends_in_a_closed_connection(processes: ProcessStack, shared_api: Part) -> None:
    """A caller that sends a byte of its head a second is disconnected after ten seconds."""
    gateway = processes.start_gateway(shared_api, **UNLIMITED)
    began = time.monotonic()
    head = b"GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaa"
    with slowly(gateway.url, head, PAUSE_SECONDS) as response:
        while time.monotonic() - began < 5:
            assert _quick(gateway)
            time.sleep(0.5)
        assert response() == b""
    assert 10 <= time.monotonic() - began < 20


def test_500_idle_connections_do_not_delay_others(part: Part) -> None:
    """Idle connections use little memory and no time."""
    with contextlib.ExitStack() as idle:
        for _ in range(500):
            idle.enter_context(connect(part.url))
        assert _quick(part)


def test_a_caller_that_disconnects_causes_no_error(part: Part) -> None:
    """A connection that breaks within a body leaves only an access line."""
    before = part.errors()
    for _ in range(20):
        with connect(part.url) as caller:
            caller.sendall(SUM_HEAD + b"Content-Length: 100\r\n\r\n{")
    assert _quick(part)
    assert part.errors() == before
    assert "exception" not in {line["event"] for line in part.lines()}
