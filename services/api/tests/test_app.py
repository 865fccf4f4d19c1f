"""Requests and responses, as the server passes them to and from the application."""

import hmac
import re
from collections.abc import Iterator
from hmac import compare_digest
from io import BytesIO
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from in_process import Response, Service, assert_problem, at_once, run
from zama_api import app
from zama_api.config import Settings
from zama_api.operations import Addends, Sum

JSON = "application/json"
GUARDED = Settings(require_api_key=True, api_keys=("KEY-1", "KEY-2"))
# Text as servers put it into environ: bytes decoded as latin-1 (PEP 3333).
NATIVE = st.text(st.characters(codec="latin-1"))


@pytest.fixture
def service() -> Iterator[Service]:
    """Run a service that is ready and requires no key."""
    with run() as service:
        yield service


@pytest.fixture
def guarded() -> Iterator[Service]:
    """Run a service that accepts one of two keys."""
    with run(GUARDED) as service:
        yield service


# --- The routes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "total"),
    [
        (b'{"a":2,"b":40}', 42),
        (b' \t\r\n{ "b" : 40 , "a" : 2 } \n', 42),
        (b'{"\\u0061":2,"b":40}', 42),
        (b'{"a":-0,"b":0}', 0),
        (b'{"a":9223372036854775807,"b":9223372036854775807}', 18446744073709551614),
        (b'{"a":-9223372036854775808,"b":-9223372036854775808}', -18446744073709551616),
    ],
)
def test_two_numbers_are_added(service: Service, body: bytes, total: int) -> None:
    """The response holds only the sum, however the JSON is written."""
    response = service.sum(body)

    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert response.body == b'{"sum":%d}' % total


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_liveness_reports_uptime_and_version(service: Service, method: str) -> None:
    """`/healthz` returns the status, the uptime in seconds and the version."""
    response = service.request(method, "/healthz")

    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    uptime = response.json["uptime_seconds"]
    assert response.json == {"status": "ok", "uptime_seconds": uptime, "version": "1.2.3"}
    assert 0 <= uptime < 60


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_service_is_ready_after_its_warm_up(method: str) -> None:
    """Readiness is 503 with Retry-After during the warm-up, and 200 after it."""
    with run(ready_delay_seconds=60) as cold, run(ready_delay_seconds=0) as warm:
        refused = cold.request(method, "/readyz")
        accepted = warm.request(method, "/readyz")

        assert "warming up" in assert_problem(refused, 503)
        assert refused.headers["retry-after"] == "1"
        assert accepted.status == 200
        assert accepted.headers["content-type"] == "application/json"
        assert accepted.json == {"status": "ready"}
        assert cold.request(method, "/healthz").status == 200
        assert cold.sum(b'{"a":1,"b":2}').status == 200


def test_a_draining_service_still_answers_and_closes_connections(service: Service) -> None:
    """While draining, only readiness fails, and every response closes its connection."""
    assert "connection" not in service.sum(b'{"a":1,"b":2}').headers
    service.health.drain()

    ready = service.request("GET", "/readyz")
    others = [
        service.request("GET", "/healthz"),
        service.sum(b'{"a":1,"b":2}'),
        service.request("GET", "/metrics"),
    ]

    assert "draining" in assert_problem(ready, 503)
    assert ready.headers["retry-after"] == "1"
    assert [response.status for response in others] == [200, 200, 200]
    assert {response.headers["connection"] for response in [ready, *others]} == {"close"}


def test_metrics_count_earlier_requests(service: Service) -> None:
    """A scrape counts every earlier request and shows itself as in progress."""
    service.sum(b'{"a":1,"b":2}')
    service.sum(b"{")
    service.request("GET", "/nowhere/1")
    service.request("GET", "/nowhere/2")

    response = service.request("GET", "/metrics")

    assert response.status == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert {
        'http_requests_total{method="POST",route="/sum",status="200"} 1.0',
        'http_requests_total{method="POST",route="/sum",status="400"} 1.0',
        'http_requests_total{method="GET",route="other",status="404"} 2.0',
        "sum_requests_total 2.0",
        "http_requests_in_progress 1.0",
    } <= set(response.body.decode().splitlines())
    assert b"nowhere" not in response.body


@pytest.mark.parametrize(
    "path",
    ["", "/", "*", "/sum/", "/SUM", "//sum", "/sum?a=1", "/healthz/", "/docs", "/../sum", "/\xff"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_not_found(service: Service, method: str, path: str) -> None:
    """Only the contract's exact paths exist."""
    assert "/docs" in assert_problem(service.request(method, path), 404)


@pytest.mark.parametrize(
    ("path", "methods", "allow"),
    [
        ("/sum", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post", "X"], "POST"),
        ("/healthz", ["POST", "PUT", "DELETE", "OPTIONS", "get"], "GET, HEAD"),
        ("/readyz", ["POST", "PATCH", "TRACE", ""], "GET, HEAD"),
        ("/metrics", ["POST", "OPTIONS"], "GET, HEAD"),
    ],
)
def test_a_wrong_method_gets_the_allowed_ones(
    service: Service, path: str, methods: list[str], allow: str
) -> None:
    """The problem and the Allow header name the methods of the path."""
    for method in methods:
        response = service.request(method, path, b"{}", CONTENT_TYPE=JSON)

        assert allow in assert_problem(response, 405)
        assert response.headers["allow"] == allow


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/healthz", b""),
        ("GET", "/metrics", b""),
        ("POST", "/sum", b'{"a":1,"b":2}'),
        ("POST", "/sum", b"["),
        ("GET", "/nowhere", b""),
    ],
)
def test_the_application_follows_the_wsgi_standard(
    service: Service, method: str, path: str, body: bytes
) -> None:
    """Any server that implements PEP 3333 can run the application."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": JSON,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
    }
    setup_testing_defaults(environ)

    chunks = validator(service.application)(environ, lambda *_: lambda _: None)

    assert b"".join(chunks)
    chunks.close()  # type: ignore[attr-defined]  # PEP 3333 leaves it out of the type


# --- The body -------------------------------------------------------------------------------------


# test_fuzz_body.py checks the status of many more bodies.


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b'{"a":1.5,"b":2', b'{"c":1,"b":2', b'{"a":2,"b":40}}', b'{"a":NaN,"b":40}'),
        *(b'\xef\xbb\xbf{"a":2,"b":40}', b'{"a":2,"b":40,"c":"\xff"}', b"[" * 1024),
    ],
)
def test_invalid_json_is_a_bad_request(service: Service, body: bytes) -> None:
    """Invalid JSON is 400, whatever else is wrong with the body, in the words of JSON."""
    detail = assert_problem(service.sum(body), 400)
    assert "codec" not in detail
    assert "recursion" not in detail


# test_faults.py has the details of bodies that are JSON but break the schema.


@pytest.mark.parametrize("body", [b'{"a":2,"b":40}', b"{"])
def test_a_body_may_have_1024_bytes_and_no_more(service: Service, body: bytes) -> None:
    """The limit is exact and applies before the body is validated."""
    assert service.sum(b'{"a":2,"b":40}'.ljust(1024)).json == {"sum": 42}
    assert "1024 bytes" in assert_problem(service.sum(body.ljust(1025)), 413)


def test_an_endless_body_is_not_read_to_its_end(service: Service) -> None:
    """A body over the limit needs no more memory than a body at the limit."""
    endless = BytesIO(b" " * 1_000_000)

    response = service.sum(b"", **{"wsgi.input": endless})

    assert_problem(response, 413)
    assert endless.tell() <= 1025


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json;charset=UTF-8",
        "application/json ; profile=x",
        "application/json;",
        "Application/JSON",
        "application/vnd.api+json; ext=y",
    ],
)
def test_json_media_types_are_accepted(service: Service, media_type: str) -> None:
    """JSON media types match in any case, with parameters and with a structured suffix."""
    assert service.sum(b'{"a":2,"b":40}', CONTENT_TYPE=media_type).json == {"sum": 42}


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "json",
        "text/json",
        "text/html; a=application/json",
        "application/x-www-form-urlencoded",
        "application/json5",
        "application/json charset=utf-8",
        "application/json, text/plain",
        "application/+json",
        "application/a/b+json",
        "application/vnd x+json",
        " application/json",
        "\xff",
    ],
)
def test_other_media_types_are_refused(service: Service, media_type: str) -> None:
    """A JSON body with another media type, or without one, is refused."""
    sum_ = ("POST", "/sum", b'{"a":2,"b":40}')
    response = service.request(*sum_, CONTENT_TYPE=media_type)

    assert "Content-Type: application/json" in assert_problem(response, 415)
    assert service.request(*sum_).status == 415


# --- The type of a problem ------------------------------------------------------------------------


def test_a_type_begins_with_the_public_url() -> None:
    """A type is absolute if the public URL is set; a caller's Host header has no influence."""
    with run(Settings(public_url="https://api.example.com")) as service:
        response = service.sum(b"{", HTTP_HOST="evil.example")

        assert response.json["type"] == "https://api.example.com/docs#bad-request"


# --- The request id -------------------------------------------------------------------------------


@pytest.mark.parametrize("request_id", ["1", "a" * 128, "aZ09._-", "...", "-"])
def test_a_callers_request_id_is_kept(service: Service, request_id: str) -> None:
    """The caller's id appears in the header, in problems and in the log."""
    success = service.sum(b'{"a":2,"b":40}', HTTP_X_REQUEST_ID=request_id)
    failure = service.sum(b"", HTTP_X_REQUEST_ID=request_id)

    assert_problem(failure, 400)
    assert success.headers["x-request-id"] == failure.headers["x-request-id"] == request_id
    assert [line["request_id"] for line in service.logged()] == [request_id] * 2


@pytest.mark.parametrize(
    "request_id",
    ["", "a" * 129, "a b", "a\n", "a\r\nset-cookie: x", "a,b", "é", "\xff", "id=1", '"', "٣"],
)
def test_an_invalid_request_id_is_replaced(service: Service, request_id: str) -> None:
    """An id that could break a log line or a header is replaced by a new one."""
    response = service.sum(b"", HTTP_X_REQUEST_ID=request_id)

    assert_problem(response, 400)
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])
    assert service.logged()[0]["request_id"] == response.headers["x-request-id"]


def test_fresh_request_ids_differ(service: Service) -> None:
    """No two requests share an id."""
    ids = {service.request("GET", "/healthz").headers["x-request-id"] for _ in range(1000)}

    assert len(ids) == 1000


# --- The key --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["KEY-1", "KEY-2"])
def test_every_key_is_compared_in_constant_time(
    guarded: Service, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Both keys are valid during a rotation, and every request compares both in constant time."""
    compared = []

    def compare(given: bytes, key: bytes) -> bool:
        compared.append((given, key))
        return compare_digest(given, key)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert guarded.sum(b'{"a":2,"b":40}', HTTP_X_API_KEY=key).json == {"sum": 42}
    assert compared == [(key.encode(), b"KEY-1"), (key.encode(), b"KEY-2")]


@pytest.mark.parametrize(
    "key", ["KEY", "KEY-", "KEY-11", "key-1", " KEY-1", "KEY-1,KEY-2", "KEY-1 KEY-2", "clé", "\xff"]
)
def test_a_wrong_key_is_forbidden(guarded: Service, key: str) -> None:
    """Only the exact key is accepted, and a wrong key is neither echoed nor logged."""
    response = guarded.sum(b'{"a":2,"b":40}', HTTP_X_API_KEY=key)

    assert_problem(response, 403)
    assert "www-authenticate" not in response.headers
    assert f'"{key}"'.encode() not in response.body + b"".join(guarded.log_lines())


@pytest.mark.parametrize("environ", [{}, {"HTTP_X_API_KEY": ""}])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/sum"), ("GET", "/sum"), ("GET", "/nowhere"), ("GET", "/")]
)
def test_without_a_key_a_caller_learns_only_how_to_send_one(
    guarded: Service, method: str, path: str, environ: dict[str, str]
) -> None:
    """The key is checked before the path, the method and the body."""
    response = guarded.request(method, path, **environ)

    assert "X-Api-Key" in assert_problem(response, 401)
    assert "X-Api-Key" in response.headers["www-authenticate"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_health_checks_and_metrics_need_no_key(guarded: Service, path: str) -> None:
    """Health checks and scrapes send no key."""
    assert guarded.request("GET", path).status == 200


def test_keys_that_are_not_required_are_not_checked() -> None:
    """Behind the gateway, which has already checked the key, any key or none is accepted."""
    with run(Settings(require_api_key=False, api_keys=("KEY-1",))) as service:
        assert service.sum(b'{"a":2,"b":40}').status == 200
        assert service.sum(b'{"a":2,"b":40}', HTTP_X_API_KEY="other").status == 200


# --- Bugs in the service --------------------------------------------------------------------------


def add_badly(addends: Addends) -> Sum:
    raise ZeroDivisionError(f"inner workings of {addends.a}")


def test_an_exception_in_an_operation_is_a_problem_and_one_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The caller gets an id to report, the log has the traceback, and the service continues."""
    monkeypatch.setattr(app, "OPERATIONS", {"/sum": add_badly})
    with run() as service:
        response = service.sum(b'{"a":2,"b":40}', HTTP_X_REQUEST_ID="id-1")

        assert "request_id" in assert_problem(response, 500)
        for inner in (b"ZeroDivisionError", b"Traceback", b"inner workings"):
            assert inner not in response.body
        event, access = service.logged()
        assert (event["event"], event["level"], event["request_id"]) == (
            "exception",
            "error",
            "id-1",
        )
        assert event["traceback"].startswith("Traceback (most recent call last):")
        assert "ZeroDivisionError: inner workings of 2" in event["traceback"]
        assert (access["event"], access["status"], access["level"]) == ("request", 500, "error")
        assert service.request("GET", "/healthz").status == 200
        assert service.metrics.in_progress == []


def test_a_new_operation_needs_one_line_in_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new entry gets its route, its decoding and its errors from the table."""

    def negate(number: Sum) -> Sum:
        return Sum(-number.sum)

    monkeypatch.setattr(app, "OPERATIONS", {"/negation": negate})
    with run() as service:

        def post(body: bytes) -> Response:
            return service.request("POST", "/negation", body, CONTENT_TYPE=JSON)

        assert post(b'{"sum":42}').json == {"sum": -42}
        detail = "`sum` must be an integer, not a string."
        assert assert_problem(post(b'{"sum":"42"}'), 422) == detail
        assert service.request("GET", "/negation").headers["allow"] == "POST"
        assert_problem(service.request("POST", "/sum"), 404)


# --- The access line ------------------------------------------------------------------------------


def test_a_request_is_logged_with_all_fields(service: Service) -> None:
    """The access line has every field of the specification, and no query string."""
    response = service.sum(
        b'{"a":2,"b":40}',
        QUERY_STRING="token=hush",
        REMOTE_ADDR="2001:db8::1",
        HTTP_X_API_CLIENT="acme",
        HTTP_X_REQUEST_ID="id-1",
        HTTP_TRACEPARENT="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )

    (line,) = service.logged()
    del line["time"]
    duration = line.pop("duration_ms")
    assert line == {
        "level": "info",
        "service": "api",
        "event": "request",
        "request_id": "id-1",
        "method": "POST",
        "path": "/sum",
        "route": "/sum",
        "status": 200,
        "client": "acme",
        "remote_addr": "2001:db8::1",
        "bytes_sent": len(response.body),
        "trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    assert 0 < duration < 60_000


def test_a_duration_is_in_milliseconds_to_the_microsecond(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that takes 1,234,567 ns is logged as 1.234 ms."""
    clock = iter([5_000_000_000, 5_001_234_567])
    monkeypatch.setattr(app, "perf_counter_ns", lambda: next(clock))
    service.request("GET", "/healthz")

    assert service.logged()[0]["duration_ms"] == 1.234


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({}, ""),
        ({"HTTP_TRACEPARENT": "00-w3c"}, "00-w3c"),
        ({"HTTP_X_AMZN_TRACE_ID": "Root=1-x"}, "Root=1-x"),
        ({"HTTP_X_AMZN_TRACE_ID": "Root=1-x", "HTTP_TRACEPARENT": "00-w3c"}, "Root=1-x"),
        ({"HTTP_X_AMZN_TRACE_ID": "", "HTTP_TRACEPARENT": "00-w3c"}, "00-w3c"),
    ],
)
def test_the_load_balancers_trace_precedes_the_callers(
    service: Service, headers: dict[str, str], trace: str
) -> None:
    """An X-Ray header takes precedence over a W3C header; without both, the field is empty."""
    service.request("GET", "/healthz", **headers)

    assert service.logged()[0]["trace"] == trace


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/sum", 405), ("/nowhere", 404)])
def test_a_head_request_sends_no_body(service: Service, path: str, status: int) -> None:
    """The server drops the body of a HEAD response, so `bytes_sent` is 0."""
    service.request("HEAD", path)

    (line,) = service.logged()
    assert (line["method"], line["status"], line["bytes_sent"]) == ("HEAD", status, 0)


def test_logged_values_are_truncated(service: Service) -> None:
    """Long paths and headers are truncated, so that no caller can fill the log."""
    service.request(
        "GET",
        "/" + "x" * 5000,
        HTTP_X_API_CLIENT="x" * 5000,
        HTTP_TRACEPARENT="x" * 5000,
        HTTP_X_REQUEST_ID="x" * 5000,
    )

    (line,) = service.logged()
    assert [len(line[name]) for name in ("path", "client", "trace")] == [256, 256, 256]
    assert len(service.log_lines()[0]) < 2000


@given(path=NATIVE, values=st.tuples(NATIVE, NATIVE, NATIVE, NATIVE, NATIVE), method=NATIVE)
def test_any_request_is_logged_as_one_valid_json_line(
    path: str, values: tuple[str, ...], method: str
) -> None:
    """A request writes exactly one JSON line, whatever its method, path and headers contain."""
    names = (
        "HTTP_X_REQUEST_ID",
        "HTTP_X_API_CLIENT",
        "HTTP_X_API_KEY",
        "HTTP_TRACEPARENT",
        "CONTENT_TYPE",
    )
    with run() as service, run(GUARDED) as guarded:
        for each in (service, guarded):
            response = each.request(method, path, **dict(zip(names, values, strict=True)))

            (line,) = each.logged()
            assert line["status"] == response.status < 500
            assert line["path"] == path[:256]
            assert line["request_id"] == response.headers["x-request-id"]


def test_concurrent_requests_get_their_own_responses(service: Service) -> None:
    """Each thread gets its own responses, every request is logged, and none stays in progress."""
    wrong: list[Response] = []

    def work(name: int) -> None:
        for number in range(250):
            body, request_id = b'{"a":%d,"b":%d}' % (name * 1000, number), f"{name}-{number}"
            response = service.sum(body, HTTP_X_REQUEST_ID=request_id)
            expected = {"sum": name * 1000 + number}, request_id
            if (response.json, response.headers["x-request-id"]) != expected:
                wrong.append(response)

    at_once(work)

    assert wrong == []
    assert len({line["request_id"] for line in service.logged()}) == 1000
    assert service.metrics.in_progress == []
