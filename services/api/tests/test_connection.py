"""Bytes become requests and responses; these tests replace the event loop and its transport."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from in_process import Service, run
from zama_api.config import Settings
from zama_api.connection import KEEP_ALIVE_SECONDS, REQUEST_SECONDS, Connection, Connections

HEALTH: Final = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
JSON: Final = b"POST /sum HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
BODY: Final = b'{"a":2,"b":40}'
SUM: Final = JSON + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


class Response(NamedTuple):
    """A response as it was sent."""

    status: int
    headers: dict[str, str]
    body: bytes


class Transport(asyncio.Transport):
    """Records the calls of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0
        self.half_closed = self.aborted = False
        self.reading = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.7", 1234) if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.half_closed
        self.written += data

    def write_eof(self) -> None:
        self.half_closed = True

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Caller:
    """A caller with a connection."""

    def __init__(self, connections: Connections) -> None:
        self.connection: Connection = connections.accept()
        self.transport = Transport()
        self.connection.connection_made(self.transport)

    def send(self, *parts: bytes) -> list[Response]:
        """Send the parts one after another, and return the new responses."""
        for part in parts:
            self.connection.data_received(part)
        return self.responses()

    def responses(self) -> list[Response]:
        """Return the responses since the last call."""
        rest, responses = self.transport.written, []
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            status, *lines = head.decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            assert len(headers) == len(lines)
            length = int(headers.get("content-length", 0))
            responses.append(Response(int(status.split()[1]), headers, rest[:length]))
            rest = rest[length:]
        self.transport.written = b""
        return responses


@pytest.fixture
def service() -> Iterator[Service]:
    with run() as service:
        yield service


@pytest.fixture
def connections(service: Service) -> Connections:
    return Connections(service.application, most=3)


@pytest.fixture
def caller(connections: Connections) -> Caller:
    return Caller(connections)


def refused(caller: Caller, status: int, *parts: bytes) -> dict[str, Any]:
    """Send a request that gets one response, a problem, and return it; nothing else is read."""
    (response,) = caller.send(*parts) if parts else caller.responses()
    assert response.status == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["connection"] == "close"
    problem: dict[str, Any] = json.loads(response.body)
    assert problem["request_id"] == response.headers["x-request-id"]
    assert caller.transport.half_closed
    assert caller.send(SUM) == []
    return problem


# --- Requests -------------------------------------------------------------------------------------


def test_requests_on_one_connection_are_answered_in_order(caller: Caller) -> None:
    """The connection stays open between them; they may arrive together."""
    first, second, third = caller.send(SUM, HEALTH + b"\r\n" + SUM)
    assert (first.status, first.body) == (200, b'{"sum":42}')
    assert first.headers.keys() == {"content-type", "x-request-id", "date", "content-length"}
    assert first.headers["date"].endswith(" GMT")
    assert json.loads(second.body)["status"] == "ok"
    assert third.body == b'{"sum":42}'
    assert not caller.transport.half_closed


def test_a_request_may_arrive_byte_by_byte(caller: Caller, service: Service) -> None:
    """Its headers, its address and its path are read from the parts."""
    request = SUM.replace(b"/sum", b"/sum?a=1").replace(b"Host", b"X-Request-Id: mine\r\nHost")
    (response,) = caller.send(*(bytes([byte]) for byte in request))
    assert response.body == b'{"sum":42}'
    (line,) = service.logged()
    assert (line["request_id"], line["path"]) == ("mine", "/sum")
    assert line["remote_addr"] == "192.0.2.7"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/healthz?x=%2F", "/healthz"),
        (b"/%68ealthz", "/healthz"),
        (b"http://a:80/healthz", "/healthz"),
        (b"http://a", "/"),
        (b"*", "/"),
        (b"/%1b[2J%c3%a9", "/\x1b[2J\xc3\xa9"),
    ],
)
def test_the_path_is_decoded_and_has_no_query(
    caller: Caller, service: Service, target: bytes, path: str
) -> None:
    """An absolute URL is allowed, as RFC 9112 demands."""
    (response,) = caller.send(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert response.status == (200 if path == "/healthz" else 404)
    assert service.logged()[0]["path"] == path


@pytest.mark.parametrize("method", [b"BREW", b"PUT", b"get", b"QUERY", b"CONNECT"])
def test_any_other_method_is_not_allowed(caller: Caller, service: Service, method: bytes) -> None:
    """It gets 405 with the whole request read, so the connection stays usable."""
    request = SUM.replace(b"POST", method)
    (response,) = caller.send(request)
    assert (response.status, response.headers["allow"]) == (405, "POST")
    assert service.logged()[0]["method"] == method.decode()
    assert caller.send(SUM)[0].status == 200


def test_head_gets_the_headers_of_get(caller: Caller) -> None:
    """The length is that of the body that GET gets."""
    caller.connection.data_received(b"HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _, body = caller.transport.written.partition(b"\r\n\r\n")
    assert b"content-length: 18\r\n" in head + b"\r\n"
    assert body == b""


def test_trailers_are_no_headers(caller: Caller, service: Service) -> None:
    """A chunked body is read, and a header after it changes nothing."""
    chunked = JSON + b"X-Request-Id: mine\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"4\r\n" + BODY[:4] + b"\r\na\r\n" + BODY[4:] + b"\r\n0\r\nX-Request-Id: x\r\n\r\n"
    (response,) = caller.send(chunked, chunks)
    assert response.body == b'{"sum":42}'
    assert service.logged()[0]["request_id"] == "mine"


def test_a_repeated_header_is_one_list() -> None:
    """A second key does not hide the first one, and neither is accepted (RFC 9110, 5.3)."""
    key = "0123456789abcdef"
    with run(Settings(require_api_key=True, api_keys=(key,))) as service:
        caller = Caller(Connections(service.application, most=1))
        with_key = SUM.replace(b"Host", b"X-Api-Key: %s\r\nHost" % key.encode())
        twice = with_key.replace(b"Host", b"X-Api-Key: wrong-0123456789\r\nHost")
        assert [one.status for one in caller.send(with_key, twice)] == [200, 403]


def test_a_caller_may_wait_for_a_confirmation_before_the_body(caller: Caller) -> None:
    """`Expect: 100-continue` is answered at once (RFC 9110, section 10.1.1)."""
    head, body = SUM.replace(b"Host", b"Expect: 100-Continue\r\nHost").split(b"\r\n\r\n")
    assert [one.status for one in caller.send(head + b"\r\n\r\n")] == [100]
    assert [one.status for one in caller.send(body)] == [200]


def test_a_caller_of_http_1_0_gets_no_confirmation(caller: Caller) -> None:
    """It would take the confirmation for the response."""
    request = SUM.replace(b"Host", b"Expect: 100-continue\r\nHost").replace(b"1.1", b"1.0")
    assert [one.status for one in caller.send(request)] == [200]


@pytest.mark.parametrize(
    "last",
    [
        HEALTH + b"Connection: close\r\n\r\n",
        HEALTH.replace(b"1.1", b"1.0") + b"\r\n",
        HEALTH + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
def test_the_connection_ends_when_the_caller_wants_it(caller: Caller, last: bytes) -> None:
    """Later bytes are not read as a request; other protocols are not spoken."""
    (response,) = caller.send(last + SUM)
    assert response.status == 200
    assert caller.transport.half_closed
    assert caller.send(SUM) == []


def test_the_connection_ends_while_the_service_drains(caller: Caller, service: Service) -> None:
    """The response has `connection: close`."""
    service.health.drain()
    (response,) = caller.send(SUM + SUM)
    assert (response.status, response.headers["connection"]) == (200, "close")
    assert caller.transport.half_closed


# --- Refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (400, b"GARBAGE\r\n\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01"),
        (400, b"GET /healthz HTTP/3.0\r\n\r\n"),
        (400, b"GET /healthz HTTP/2.0\r\n\r\n"),
        (400, b"GET /healthz HTTP/0.9\r\n\r\n"),
        (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (400, b"GET /health z HTTP/1.1\r\n\r\n"),
        (400, b"GET /\0 HTTP/1.1\r\n\r\n"),
        (400, HEALTH + b"X-A: b\x01c\r\n\r\n"),
        (400, HEALTH + b"X A: b\r\n\r\n"),
        (400, HEALTH + b" folded\r\n\r\n"),
        (400, HEALTH + b"no colon\r\n\r\n"),
        (400, HEALTH.replace(b"\r\n", b"\n") + b"\n"),
        (400, JSON + b"Content-Length: x\r\n\r\n"),
        (400, JSON + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SUM),
        (400, JSON + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\n12345" + SUM),
        (400, JSON + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
        (400, JSON + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SUM),
        (400, JSON + 2 * b"Transfer-Encoding: chunked\r\n" + b"\r\n0\r\n\r\n" + SUM),
        (400, JSON.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (414, b"GET /" + b"x" * 8192 + b" HTTP/1.1\r\n\r\n"),
        (414, b"GET /" + b"x" * 100_000),
        (431, HEALTH + b"X-A: " + b"x" * 100_000 + b"\r\n\r\n"),
        (431, HEALTH + b"X-A: " + b"x" * 100_000),
        (431, HEALTH + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 200) for n in range(90)) + b"\r\n"),
        (431, HEALTH + b"".join(b"X-%d: a\r\n" % n for n in range(100)) + b"\r\n"),
        (413, JSON + b"Content-Length: 1025\r\n\r\n" + b" " * 1025 + SUM),
        (413, JSON + b"Content-Length: 999999\r\n\r\n" + b" " * 1025),
        (413, JSON + b"Transfer-Encoding: chunked\r\n\r\n" + b"200\r\n%s\r\n" % (b" " * 512) * 3),
    ],
)
@pytest.mark.parametrize("step", [1_000_000, 7])
def test_a_request_that_cannot_be_read_gets_a_problem(
    caller: Caller, service: Service, status: int, request_: bytes, step: int
) -> None:
    """The problem has the request's id, as its access line; then the connection ends."""
    parts = [request_[start : start + step] for start in range(0, len(request_), step)]
    problem = refused(caller, status, *parts)
    (line,) = service.logged()
    assert (line["status"], line["request_id"]) == (status, problem["request_id"])
    assert line["level"] == "info"


def test_a_refusal_keeps_the_callers_request_id(caller: Caller) -> None:
    """It does, if the id came before the fault."""
    broken = HEALTH + b"X-Request-Id: mine\r\nX-A: b\x01c\r\n\r\n"
    assert refused(caller, 400, broken)["request_id"] == "mine"


def test_large_headers_within_the_limits_are_read(caller: Caller) -> None:
    """Neither a large body nor many requests at once count as a header."""
    largest = HEALTH + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 150) for n in range(99)) + b"\r\n"
    many = SUM * 400
    responses = caller.send(largest, many + SUM[:20], SUM[20:])
    assert {one.status for one in responses} == {200}
    assert len(responses) == 402


@pytest.mark.parametrize("sent", [b"GET /he", SUM[:-1]])
def test_an_incomplete_request_is_the_callers_fault(caller: Caller, sent: bytes) -> None:
    """A caller that stops sending gets a problem, if it still listens."""
    assert caller.send(sent) == []
    caller.connection.eof_received()
    assert refused(caller, 400)["detail"] == "The request is incomplete."


def test_a_caller_that_leaves_between_requests_gets_nothing(
    caller: Caller, connections: Connections
) -> None:
    """The connection is forgotten."""
    caller.send(SUM)
    caller.connection.eof_received()
    caller.connection.connection_lost(None)
    assert caller.responses() == []
    assert not connections.open


def test_a_fault_of_ours_is_not_blamed_on_the_caller(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop reports it, and closes the connection."""
    monkeypatch.setattr(caller.transport, "write", lambda _: 1 / 0)
    with pytest.raises(Exception, match="callback") as caught:
        caller.send(SUM)
    assert isinstance(caught.value.__context__, ZeroDivisionError)


# --- Time -----------------------------------------------------------------------------------------


def ticks(connections: Connections, seconds: int) -> None:
    for _ in range(seconds):
        connections.tick()


def assert_aborted_after(seconds: int, connections: Connections, caller: Caller) -> None:
    """Assert that the caller is disconnected after so many seconds, and not before."""
    ticks(connections, seconds)
    assert not caller.transport.aborted
    connections.tick()
    assert caller.transport.aborted


@pytest.mark.parametrize(("sent", "more"), [(b"GET /", b"x"), (HEALTH, b"x"), (SUM[:-12], b" ")])
def test_a_request_has_ten_seconds_however_it_is_sliced(
    connections: Connections, caller: Caller, sent: bytes, more: bytes
) -> None:
    """Further bytes do not extend the time; afterwards the caller gets 408."""
    caller.send(sent)
    for _ in range(REQUEST_SECONDS):
        connections.tick()
        caller.send(more)
    assert caller.responses() == []
    connections.tick()
    assert "too long" in refused(caller, 408)["detail"]


def test_an_idle_connection_outlives_the_gateways(connections: Connections, caller: Caller) -> None:
    """It is closed after 75 seconds without a request."""
    assert KEEP_ALIVE_SECONDS > 60
    ticks(connections, KEEP_ALIVE_SECONDS)
    caller.send(SUM)
    assert_aborted_after(KEEP_ALIVE_SECONDS, connections, caller)


def test_a_caller_has_ten_seconds_to_take_its_response(
    connections: Connections, caller: Caller
) -> None:
    """While it does not read, nothing more is read from it."""
    caller.send(SUM)
    caller.transport.unsent = 1
    caller.connection.pause_writing()
    assert not caller.transport.reading
    caller.connection.resume_writing()
    assert caller.transport.reading
    assert_aborted_after(REQUEST_SECONDS, connections, caller)


def test_a_refused_caller_that_does_not_leave_is_disconnected(
    connections: Connections, caller: Caller
) -> None:
    """It has ten seconds to read the problem."""
    caller.send(b"GARBAGE\r\n\r\n")
    assert_aborted_after(REQUEST_SECONDS, connections, caller)


def test_one_connection_too_many_closes_the_one_that_waited_longest(
    connections: Connections,
) -> None:
    """So idle connections cannot keep others out."""
    callers = []
    for _ in range(3):
        callers.append(Caller(connections))
        connections.tick()
    callers[0].send(SUM)
    Caller(connections)
    assert [one.transport.aborted for one in callers] == [False, True, False]


def test_a_stop_closes_idle_connections_only(connections: Connections) -> None:
    """Requests and responses on their way are finished."""
    idle, asking, reading = (Caller(connections) for _ in range(3))
    asking.send(SUM[:20])
    reading.send(SUM)
    reading.transport.unsent = 1
    connections.close_idle()
    assert [one.transport.aborted for one in (idle, asking, reading)] == [True, False, False]
