"""Every row of the contract's two tables, through the gateway."""

import gzip
import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from stack import AUTHORISED, JSON, KEY, UNLIMITED, Pair, Part, ProcessStack, exchange, read, send
from zama_ops.contract_checks import SUM
from zama_ops.http_client import Answer

FRESH_ID = re.compile(r"[0-9a-f]{32}")


def problem(answer: Answer, status: int) -> str:
    """Check that `answer` is a problem of this status, and return its detail."""
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    members = ["type", "title", "status", "detail", "request_id"]
    assert list(body) == ([*members, "errors"] if status == 422 else members)
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["type"] == "/docs#" + body["title"].lower().replace(" ", "-")
    detail: str = body["detail"]
    assert detail
    return detail


def assert_not_passed_on(pair: Pair, answer: Answer) -> None:
    """Check that the gateway made `answer` itself; the API's could have the same text."""
    assert pair.gateway.line(answer.headers["x-request-id"])["upstream_ms"] is None


def post_sum(pair: Pair, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    return send(pair.gateway.url, "POST", "/sum", headers or AUTHORISED, body)


# --- Operations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_healthz_reports_that_the_api_is_live(pair: Pair, method: str) -> None:
    """Liveness needs no key and returns status, uptime and version."""
    answer = send(pair.gateway.url, method, "/healthz")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    if method == "GET":
        alive = answer.json()
        assert list(alive) == ["status", "uptime_seconds", "version"]
        assert alive["status"] == "ok"
        assert 0 < alive["uptime_seconds"] < 600
        assert re.fullmatch(r"\d+\.\d+\.\d+", alive["version"])
    else:
        assert answer.body == b""
        assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize(("method", "body"), [("GET", b'{"status":"ready"}'), ("HEAD", b"")])
def test_readyz_reports_that_the_service_is_ready(pair: Pair, method: str, body: bytes) -> None:
    """Readiness needs no key."""
    answer = send(pair.gateway.url, method, "/readyz")
    assert (answer.status, answer.body) == (200, body)


def test_sum_adds(pair: Pair) -> None:
    """The documented request gets the documented response."""
    answer = post_sum(pair, SUM)
    assert (answer.status, answer.body) == (200, b'{"sum":42}')
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("a", [2**63 - 1, -(2**63)])
def test_sum_does_not_wrap(pair: Pair, a: int) -> None:
    """The sum of two extremes needs 65 bits and is exact."""
    answer = post_sum(pair, b'{"a": %d, "b": %d}' % (a, a))
    assert answer.body == b'{"sum":%d}' % (2 * a)


def test_metrics_are_on_the_apis_own_port_only(pair: Pair) -> None:
    """Prometheus scrapes the API; through the gateway the path is 404, with or without a key."""
    answer = send(pair.api.url, path="/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"\nhttp_requests_total{" in answer.body
    problem(send(pair.gateway.url, path="/metrics"), 404)
    problem(send(pair.gateway.url, path="/metrics", headers=AUTHORISED), 404)


def test_the_contract_is_public(pair: Pair) -> None:
    """`/openapi.json` needs no key and describes the one operation."""
    answer = send(pair.gateway.url, path="/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert "/sum" in answer.json()["paths"]


def test_the_developer_page_is_public_and_loads_only_local_files(pair: Pair) -> None:
    """`/docs` needs no key, its references exist, and its policy allows no other host."""
    answer = send(pair.gateway.url, path="/docs")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "unsafe" not in policy
    references = re.findall(r'(?:src|href)="(?!#|data:)([^"]+)"', answer.body.decode())
    assert references
    for path in references:
        assert path.startswith("/")
        assert send(pair.gateway.url, path=path).status == 200


def test_the_portals_files_are_sent_compressed(
    processes: ProcessStack, shared_api: Part, nginx: str
) -> None:
    """With `gzip_static`, a client that accepts it gets the same file compressed."""
    built_with = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
    gateway = processes.start_gateway(shared_api)
    for path in ("/docs", "/docs/docs.css", "/docs/docs.js", "/docs/samples.js", "/openapi.json"):
        plain = send(gateway.url, path=path)
        answer = send(gateway.url, path=path, headers={"Accept-Encoding": "gzip"})
        assert answer.headers["content-type"] == plain.headers["content-type"]
        if "--with-http_gzip_static_module" in built_with:
            assert answer.headers["content-encoding"] == "gzip"
            assert gzip.decompress(answer.body) == plain.body
        else:
            assert answer.body == plain.body


# --- Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"a": 2, "b": 40', b'{"a": 2, "b": 40}x', b'{"a": NaN, "b": 1}', b"\xff"],
)
def test_invalid_json_is_refused(pair: Pair, body: bytes) -> None:
    """A body that is not JSON gets 400."""
    problem(post_sum(pair, body), 400)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"a": 2}', "`b`"),
        (b'{"a": 2, "b": 40, "c": 1}', "`c`"),
        (b'{"a": 2.5, "b": 40}', "`a` must be "),
        (b'{"a": 2, "b": true}', "`b` must be "),
        (b'{"a": "2", "b": 40}', "`a` must be "),
        (b'{"a": 2, "b": null}', "`b` must be "),
        (b'{"a": 2, "b": [40]}', "`b` must be "),
        (b'{"a": 9223372036854775808, "b": 40}', "`a` must be "),
        (b'{"a": 2, "b": -9223372036854775809}', "`b` must be "),
        (b"[2, 40]", "array"),
    ],
)
def test_json_of_the_wrong_shape_is_refused_with_the_member(
    pair: Pair, body: bytes, named: str
) -> None:
    """JSON that does not match the schema gets 422, and the detail names the member."""
    assert named in problem(post_sum(pair, body), 422)


def test_no_key_is_unauthorised(pair: Pair) -> None:
    """The response to a missing key names the header to send."""
    answer = post_sum(pair, SUM, JSON)
    problem(answer, 401)
    assert answer.headers["www-authenticate"] == 'ApiKey header="X-Api-Key"'


@pytest.mark.parametrize("key", ["wrong", KEY.lower(), KEY + "x", f"{KEY} {KEY}", "default"])
def test_a_wrong_key_is_forbidden(pair: Pair, key: str) -> None:
    """A key must match exactly, including its case."""
    problem(post_sum(pair, SUM, {**JSON, "X-Api-Key": key}), 403)


@pytest.mark.parametrize("path", ["/nothing", "/sum/", "/healthz/", "//sum", "/x/../sum"])
def test_an_unknown_path_is_not_found(pair: Pair, path: str) -> None:
    """Callers with a key get 404 for an unknown path."""
    problem(send(pair.gateway.url, "POST", path, AUTHORISED, SUM), 404)


@pytest.mark.parametrize("path", ["/", "/docs/"])
def test_the_front_door_leads_to_the_portal(pair: Pair, path: str) -> None:
    """A relative redirect, without a key, works behind every name and port."""
    answer = send(pair.gateway.url, path=path)
    assert (answer.status, answer.headers["location"]) == (308, "/docs")


def test_an_unknown_path_needs_a_key(pair: Pair) -> None:
    """Callers without a key do not learn which paths exist."""
    answer = send(pair.gateway.url, path="/nothing")
    problem(answer, 401)
    assert_not_passed_on(pair, answer)


@pytest.mark.parametrize("path", ["/_key", "/_problem", "/%5fkey"])
def test_the_gateways_internal_locations_cannot_be_called(pair: Pair, path: str) -> None:
    """Internal locations are 404 for callers."""
    problem(send(pair.gateway.url, path=path, headers=AUTHORISED), 404)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/sum", "POST"),
        ("HEAD", "/sum", "POST"),
        ("PUT", "/sum", "POST"),
        ("OPTIONS", "/sum", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("DELETE", "/readyz", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
        ("TRACE", "/sum", "POST"),
    ],
)
def test_405_names_the_allowed_methods(pair: Pair, method: str, path: str, allow: str) -> None:
    """Every 405 has `Allow`, whether the API or nginx made it."""
    answer = send(pair.gateway.url, method, path, AUTHORISED)
    assert answer.status == 405
    assert answer.headers["allow"] == allow
    if method != "HEAD":
        problem(answer, 405)


def test_a_body_of_1024_bytes_is_accepted(pair: Pair) -> None:
    """A body at the limit is accepted."""
    assert post_sum(pair, SUM.ljust(1024)).body == b'{"sum":42}'


@pytest.fixture
def connection(pair: Pair) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(pair.gateway.url).netloc, timeout=15)
    yield connection
    connection.close()


def test_a_declared_body_over_the_limit_is_refused(pair: Pair) -> None:
    """One byte over 1 KiB is refused before the API sees the body."""
    answer = post_sum(pair, SUM.ljust(1025))
    problem(answer, 413)
    assert_not_passed_on(pair, answer)


def test_a_chunked_body_over_the_limit_is_refused(
    pair: Pair, connection: http.client.HTTPConnection
) -> None:
    """The gateway measures a body of undeclared length while it arrives."""
    chunks = (b" " * 512 for _ in range(3))
    connection.request("POST", "/sum", chunks, AUTHORISED, encode_chunked=True)
    answer = read(connection)
    problem(answer, 413)
    assert_not_passed_on(pair, answer)


def test_a_chunked_body_within_the_limit_is_accepted(
    connection: http.client.HTTPConnection,
) -> None:
    """JSON may be sent in chunks."""
    connection.request("POST", "/sum", iter([SUM[:5], SUM[5:]]), AUTHORISED, encode_chunked=True)
    assert read(connection).body == b'{"sum":42}'


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_of_another_type_is_refused(pair: Pair, media_type: str) -> None:
    """Only JSON media types are accepted."""
    headers = {"X-Api-Key": KEY, "Content-Type": media_type}
    assert "Content-Type: application/json" in problem(post_sum(pair, SUM, headers), 415)


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_the_media_types_case_and_parameters_do_not_matter(pair: Pair, media_type: str) -> None:
    """Media types are compared without case and parameters."""
    headers = {"X-Api-Key": KEY, "Content-Type": media_type}
    assert post_sum(pair, SUM, headers).status == 200


def test_types_begin_with_the_public_url(processes: ProcessStack) -> None:
    """With PUBLIC_URL, types are absolute, and the caller's Host header does not change them."""
    pair = processes.start(PUBLIC_URL="https://api.example.com:8443", **UNLIMITED)
    headers = {**AUTHORISED, "Host": "evil.example"}
    answers = [
        send(pair.gateway.url, "POST", "/sum", headers, b"{}").body,
        send(pair.gateway.url, "POST", "/sum", {**headers, "X-Api-Key": "wrong"}, SUM).body,
        # Refused before nginx chooses a location.
        exchange(pair.gateway.url, b"nonsense\r\n\r\n").partition(b"\r\n\r\n")[2],
    ]
    types = [json.loads(answer)["type"] for answer in answers]
    portal = "https://api.example.com:8443/docs"
    slugs = ("unprocessable-content", "forbidden", "bad-request")
    assert types == [f"{portal}#{slug}" for slug in slugs]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-Large: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400),
    ],
)
def test_requests_that_nginx_refuses_get_a_problem(
    pair: Pair, request_bytes: bytes, status: int
) -> None:
    """No malformed request gets HTML or a version number."""
    head, _, body = exchange(pair.gateway.url, request_bytes).partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    problem(Answer(int(status_line.split()[1]), headers, body), status)
    assert headers["server"] == "nginx"


# --- Headers of every response ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/sum", "/nothing", "/docs", "/openapi.json"])
def test_every_response_has_the_security_headers(pair: Pair, path: str) -> None:
    """Successful responses, errors and files all have them."""
    answer = send(pair.gateway.url, path=path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["server"] == "nginx"
    assert "strict-transport-security" not in answer.headers
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["/healthz", "/sum", "/docs"])
def test_hsts_is_sent_behind_a_tls_terminator(pair: Pair, path: str) -> None:
    """With X-Forwarded-Proto: https, every response, including errors, has HSTS for two years."""
    answer = send(pair.gateway.url, path=path, headers={"X-Forwarded-Proto": "https"})
    assert answer.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
    answer = send(pair.gateway.url, path=path, headers={"X-Forwarded-Proto": "http"})
    assert "strict-transport-security" not in answer.headers


def test_a_file_is_sent_whole_and_unconditionally(pair: Pair) -> None:
    """Nothing is cached, so files have no ETag and ranges are ignored."""
    answer = send(pair.gateway.url, path="/openapi.json", headers={"Range": "bytes=0-9"})
    assert answer.status == 200
    assert "paths" in answer.json()
    assert answer.headers.keys().isdisjoint({"etag", "accept-ranges"})
    problem(send(pair.gateway.url, path="/openapi.json", headers={"If-Match": '"a"'}), 412)


@pytest.mark.parametrize("path", ["/healthz", "/sum", "/nothing", "/docs"])
@pytest.mark.parametrize("request_id", ["a", "01-ab_c.D", "x" * 128])
def test_the_callers_request_id_is_kept(pair: Pair, path: str, request_id: str) -> None:
    """A valid id is returned with every kind of response."""
    answer = send(pair.gateway.url, path=path, headers={"X-Request-Id": request_id})
    assert answer.headers["x-request-id"] == request_id


@pytest.mark.parametrize("request_id", ["", "x" * 129, "a b", 'a"b', "a;b", "ä", "a\tb", "${a}"])
def test_an_invalid_request_id_gets_replaced(pair: Pair, request_id: str) -> None:
    """An id in another format is replaced by a new one."""
    answer = send(pair.gateway.url, path="/sum", headers={"X-Request-Id": request_id})
    assert FRESH_ID.fullmatch(answer.headers["x-request-id"])
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("given", [{}, {"X-Request-Id": "the-caller-s"}], ids=["fresh", "given"])
def test_gateway_and_api_log_the_same_request_id(pair: Pair, given: dict[str, str]) -> None:
    """Both logs have the same id: the caller's or a new one."""
    answer = post_sum(pair, SUM, {**AUTHORISED, **given})
    request_id = answer.headers["x-request-id"]
    assert request_id == given.get("X-Request-Id") or FRESH_ID.fullmatch(request_id)
    assert pair.api.line(request_id)["status"] == pair.gateway.line(request_id)["status"] == 200
