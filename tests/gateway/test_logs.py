"""Each log line is one JSON object, whatever a client sends."""

import json
import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest

from stack import AUTHORISED, TESTER, UNLIMITED, Pair, Part, ProcessStack, exchange, send
from zama_ops.contract_checks import SUM

COMMON = ["time", "level", "service", "event", "request_id"]
ACCESS = [*COMMON, "method", "path", "status", "duration_ms", "client", "remote_addr"]


def test_both_log_the_fields_of_a_request(pair: Pair) -> None:
    """The lines of the gateway and the API have the same fields and agree."""
    trace = "Root=1-67891233-abcdef012345678912345678"
    headers = {**AUTHORISED, "X-Amzn-Trace-Id": trace}
    answer = send(pair.gateway.url, "POST", "/sum?secret=1", headers, SUM)
    request_id = answer.headers["x-request-id"]
    api, nginx = pair.api.line(request_id), pair.gateway.line(request_id)
    for line, service in ((api, "api"), (nginx, "nginx")):
        assert list(line)[:5] == COMMON
        assert set(line) >= {*ACCESS, "bytes_sent", "trace"}
        assert line["level"] == "info"
        assert line["service"] == service
        assert line["method"] == "POST"
        assert line["path"] == "/sum"
        assert line["status"] == 200
        assert 0 <= line["duration_ms"] < 1000
        assert line["client"] == "default"
        address = ip_address(line["remote_addr"])
        assert any(address in ip_network(network) for network in TESTER.split())
        assert line["bytes_sent"] == len(answer.body)
        assert line["trace"] == trace
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["time"])
        age = datetime.now(UTC) - datetime.fromisoformat(line["time"])
        assert timedelta(seconds=-1) < age < timedelta(minutes=1)
    assert 0 <= nginx["upstream_ms"] <= nginx["duration_ms"] + 1


def test_the_w3c_trace_is_logged_without_an_x_ray_trace(pair: Pair) -> None:
    """`traceparent` is used if there is no X-Ray header."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = send(pair.gateway.url, path="/healthz", headers={"traceparent": trace})
    request_id = answer.headers["x-request-id"]
    assert pair.gateway.line(request_id)["trace"] == trace
    assert pair.api.line(request_id)["trace"] == trace


def test_nginxs_own_responses_are_logged_with_the_original_request(pair: Pair) -> None:
    """The line of an error page has the caller's method and path."""
    answer = send(pair.gateway.url, "DELETE", "/sum/x?secret=1")
    line = pair.gateway.line(answer.headers["x-request-id"])
    assert (line["method"], line["path"], line["status"]) == ("DELETE", "/sum/x", 401)
    assert line["upstream_ms"] is None


HOSTILE = [
    b'GET /"quoted\\" HTTP/1.1\r\nHost: a\r\n',
    b"GET /\xff\xfe\x80 HTTP/1.1\r\nHost: a\r\n",
    b"GET /%22%0a%00%ff HTTP/1.1\r\nHost: a\r\n",
    b'GET /?"}{ HTTP/1.1\r\nHost: a\r\n',
    b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: a\r\n",
    b'GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: "},{"a":"\r\n',
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: \xff\xfe\r\n",
    b'GET / HTTP/1.1\r\nHost: a\r\nX-Amzn-Trace-Id: "\\\xff\t\x01\r\n',
    b'GET / HTTP/1.1\r\nHost: a\r\ntraceparent: a"b|\xc3\r\n',
    b'GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: "\r\n',
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Amzn-Trace-Id: " + b"t" * 8000 + b"\r\n",
    b'GET / HTTP/1.1\r\nHost: a\r\nX-Api-Client: "\xff\r\n',
    b"M\xc4THOD / HTTP/1.1\r\nHost: a\r\n",
    b"GET /\x01\x02 HTTP/1.1\r\nHost: a\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    b"GET /\r\n",
    b"\r\n",
]


@pytest.fixture(scope="module")
def attacked(module_processes: ProcessStack) -> Pair:
    """Return a pair that has received all hostile requests, through the gateway and directly."""
    pair = module_processes.start(TRUSTED_PROXIES="127.0.0.1", **UNLIMITED)
    for request in HOSTILE:
        for part in (pair.gateway, pair.api):
            exchange(part.url, request + b"X-Api-Key: CHANGEME\r\nConnection: close\r\n\r\n")
    answer = send(pair.gateway.url, path="/healthz")
    for part in (pair.gateway, pair.api):
        part.line(answer.headers["x-request-id"])  # The last line, so all others are written.
    return pair


@pytest.mark.parametrize("name", ["gateway", "api"])
def test_lines_stay_json_under_hostile_requests(attacked: Pair, name: str) -> None:
    """Every line is UTF-8 and one object with the same members in the same order."""
    lines = getattr(attacked, name).output().decode().splitlines()
    requests = [line for line in map(json.loads, lines) if line["event"] == "request"]
    assert len(requests) >= len(HOSTILE) // 2
    assert len({tuple(line) for line in requests}) == 1
    for line in requests:
        assert isinstance(line["status"], int)
        assert isinstance(line["duration_ms"], int | float)
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", line["request_id"])
        assert len(json.dumps(line)) < 2048


def test_a_flood_leaves_few_lines(processes: ProcessStack, shared_api: Part) -> None:
    """Of the refusals without a key, about one in a hundred has a line; with a key, each has."""
    gateway = processes.start_gateway(shared_api, RATE_LIMIT="1", RATE_BURST="1")
    flood, last = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /x HTTP/1.0\r\n\r\n"
    assert exchange(gateway.url, 2000 * flood + last).count(b" 429 ") > 1900
    ids = [
        answer.headers["x-request-id"]
        for _ in range(10)
        if (answer := send(gateway.url, "POST", "/sum", AUTHORISED, SUM)).status == 429
    ]
    assert ids
    gateway.line(ids[-1])
    refusals = [line for line in gateway.requests() if line["status"] == 429]
    assert [line["request_id"] for line in refusals if line["client"]] == ids
    # Of 2,000, 0 or more than 80 lines occur once in a billion runs.
    assert 0 < len(refusals) - len(ids) < 80


def test_health_checks_of_the_load_balancer_leave_no_line(pair: Pair) -> None:
    """A successful check has no line; a caller that claims to be one does."""
    checker = {"User-Agent": "ELB-HealthChecker/2.0"}
    check = send(pair.gateway.url, path="/readyz", headers=checker)
    claim = send(
        pair.gateway.url, path="/readyz", headers={**checker, "X-Forwarded-For": "203.0.113.1"}
    )
    call = send(pair.gateway.url, "POST", "/sum", {**AUTHORISED, **checker}, SUM)
    failed = send(pair.gateway.url, path="/nothing", headers=checker)
    for answer in (claim, call, failed):
        pair.gateway.line(answer.headers["x-request-id"])
    ids = {line["request_id"] for line in pair.gateway.requests()}
    assert check.headers["x-request-id"] not in ids


def test_the_error_logs_stay_clean(attacked: Pair) -> None:
    """Hostile requests are not errors of the service."""
    assert attacked.api.errors() == b""
    assert b"[alert]" not in attacked.gateway.errors()


def test_lifecycle_events_are_logged(processes: ProcessStack) -> None:
    """Start, drain and stop are logged with the common fields."""
    pair = processes.start(REQUIRE_API_KEY="true", API_KEY=16 * "k")
    for part in (pair.gateway, pair.api):
        assert part.stop() == 0
        events = [line for line in part.lines() if line["event"] != "request"]
        assert [line["event"] for line in events] == ["started", "draining", "stopped"]
        assert all(list(line)[:5] == COMMON for line in events)


@pytest.mark.parametrize("required", ["true", "false"])
def test_the_example_key_causes_a_warning(processes: ProcessStack, required: str) -> None:
    """Each program that checks keys first logs one line that says what to do."""
    pair = processes.start(REQUIRE_API_KEY=required)
    for part, checks in ((pair.gateway, True), (pair.api, required == "true")):
        warnings = [line for line in part.lines() if line["level"] == "warning"]
        assert warnings == part.lines()[:checks]
        for line in warnings:
            assert list(line) == [*COMMON, "message"]
            assert line["event"] == "example key in use"
            assert "set API_KEY to a key of 16 characters or more" in line["message"]


def test_access_lines_can_be_switched_off(apis: ProcessStack) -> None:
    """With ACCESS_LOG=false, the API logs only events and still counts requests."""
    api = apis.start_api(ACCESS_LOG="false")
    send(api.url, "POST", "/sum", AUTHORISED, SUM)
    assert b"sum_requests_total 1.0" in send(api.url, path="/metrics").body
    api.stop()
    assert {line["event"] for line in api.lines()} == {"started", "draining", "stopped"}


def test_a_kill_loses_at_most_a_fifth_of_a_second_of_lines(processes: ProcessStack) -> None:
    """Both logs contain requests answered more than 0.2 s before a kill."""
    api = processes.start_api()
    gateway = processes.start_gateway(api, **UNLIMITED)
    answer = send(gateway.url, "POST", "/sum", AUTHORISED, SUM)
    # Twice the promised time, because the machine may be busy.
    time.sleep(0.4)
    for part in (api, gateway):
        # Kill the whole group: without the entrypoint, nginx would continue and write its lines.
        os.killpg(part.process.pid, signal.SIGKILL)
        assert part.wait() == -signal.SIGKILL
        ids = {line["request_id"] for line in part.requests()}
        assert answer.headers["x-request-id"] in ids


def test_a_clean_stop_loses_no_line(processes: ProcessStack) -> None:
    """Every answered request is logged."""
    pair = processes.start(**UNLIMITED)
    for _ in range(300):
        assert send(pair.gateway.url, "POST", "/sum", AUTHORISED, SUM).status == 200
    for part in (pair.gateway, pair.api):
        assert part.stop() == 0
        assert sum(line["path"] == "/sum" for line in part.requests()) == 300
