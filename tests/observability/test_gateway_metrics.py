"""The metrics of the gateway's responses, from the real gateway and the real counter."""

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stack import AUTHORISED, UNLIMITED, Process, ProcessStack, send
from zama_ops.contract_checks import SUM
from zama_ops.http_client import HttpClient, NoAnswerError
from zama_ops.programs import wait_until

Counted = Callable[[], dict[str, float]]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ProcessStack]:
    with ProcessStack(tmp_path) as stack:
        yield stack


@pytest.fixture
def metrics(processes: ProcessStack) -> Process:
    return processes.start_gateway_metrics()


@pytest.fixture
def port(metrics: Process) -> str:
    return str(urlsplit(metrics.url).port)


@pytest.fixture
def counted(metrics: Process) -> Counted:
    def read() -> dict[str, float]:
        text = send(metrics.url, path="/metrics").body.decode()
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        return {name: float(value) for name, value in samples}

    return read


def requests(samples: dict[str, float]) -> dict[tuple[str, str], float]:
    return {
        (match[1], match[2]): count
        for name, count in samples.items()
        if count
        and (match := re.fullmatch(r'gateway_requests_total{route="(.*)",status="(.*)"}', name))
    }


def test_every_response_is_counted_once(
    processes: ProcessStack, port: str, counted: Counted
) -> None:
    """Responses of nginx itself count as well, and any path adds only known labels."""
    pair = processes.start(METRICS_PORT=port, RATE_LIMIT="1", RATE_BURST="1")
    url = pair.gateway.url
    # The start included health checks, which are counted.
    wait_until(lambda: requests(counted()), "the first lines")
    before = requests(counted())

    send(url, "POST", "/sum", AUTHORISED, SUM)
    send(url, "POST", "/sum?a=b", {**AUTHORISED, "X-Api-Key": "wrong"}, SUM)
    send(url, "GET", "/secret/path", {"X-Api-Key": "wrong"})
    assert send(url, "POST", "/sum", {**AUTHORISED, "X-Api-Key": ""}, SUM).status == 429
    send(url, "GET", "/openapi.json")
    send(url, "GET", "/healthz?probe")
    assert send(url, "GET", '/sum"}').status == 429

    def are_counted() -> bool:
        return sum(requests(counted()).values()) >= sum(before.values()) + 7

    wait_until(are_counted, "all are counted")
    after = requests(counted())
    new = {key: count - before.get(key, 0) for key, count in after.items()}
    assert {key: count for key, count in new.items() if count} == {
        ("/sum", "200"): 1,
        ("/sum", "403"): 1,
        ("/sum", "429"): 1,
        ("/openapi.json", "200"): 1,
        ("other", "403"): 1,
        ("probe", "200"): 1,
        ("other", "429"): 1,
    }


def test_requests_to_a_dead_api_are_counted(
    processes: ProcessStack, port: str, counted: Counted
) -> None:
    """The gateway counts requests that a dead API cannot count."""
    pair = processes.start(METRICS_PORT=port, **UNLIMITED)
    pair.api.signal(signal.SIGKILL)
    pair.api.wait()
    assert send(pair.gateway.url, "POST", "/sum", AUTHORISED, SUM).status == 502
    wait_until(lambda: requests(counted()).get(("/sum", "502")) == 1, "it is counted")
    assert counted()["gateway_upstream_retries_total"] == 0


def test_a_caller_that_waited_in_vain_is_counted(
    processes: ProcessStack, port: str, counted: Counted
) -> None:
    """Giving up after more than a second counts as a failure; giving up earlier does not."""
    pair = processes.start(METRICS_PORT=port, **UNLIMITED)
    pair.api.signal(signal.SIGSTOP)
    for seconds in (0.1, 1.5):
        with pytest.raises(NoAnswerError):
            HttpClient(pair.gateway.url, AUTHORISED, timeout=seconds).send("POST", "/sum", body=SUM)
    wait_until(lambda: requests(counted()).get(("/sum", "499_late")) == 1, "it is counted")
    assert requests(counted()).get(("/sum", "499")) == 1
    pair.api.signal(signal.SIGCONT)


def test_a_slow_caller_does_not_count_as_a_slow_answer(
    processes: ProcessStack, port: str, counted: Counted
) -> None:
    """The duration is the API's, although the body arrives late."""
    pair = processes.start(METRICS_PORT=port, **UNLIMITED)
    address = urlsplit(pair.gateway.url)
    head = "POST /sum HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in AUTHORISED.items())
    with socket.create_connection((address.hostname or "", address.port or 0)) as caller:
        caller.sendall(f"{head}Content-Length: {len(SUM)}\r\n\r\n".encode())
        time.sleep(0.3)
        caller.sendall(SUM)
        assert b" 200 OK" in caller.recv(4096)
    wait_until(lambda: requests(counted()).get(("/sum", "200")) == 1, "it is counted")
    assert counted()['gateway_request_duration_seconds_bucket{le="0.25",route="/sum"}'] == 1


@pytest.mark.needs("nginx")
def test_open_connections_are_shown(processes: ProcessStack, port: str, counted: Counted) -> None:
    """Idle connections count as well, although they send no line; a health check tells them."""
    pair = processes.start(METRICS_PORT=port, NGINX_BINARY="nginx")
    address = urlsplit(pair.gateway.url)
    with ExitStack() as callers:
        for _ in range(20):
            caller = socket.create_connection((address.hostname or "", address.port or 0))
            callers.enter_context(caller)

        def shown() -> float:
            send(pair.gateway.url, path="/healthz")
            return counted().get("gateway_connections", 0)

        wait_until(lambda: shown() >= 21, "the callers' and the health check's")
    wait_until(lambda: shown() <= 2, "they are closed")


def test_no_line_is_lost_under_load(processes: ProcessStack, port: str, counted: Counted) -> None:
    """A thousand requests are counted once each, with their durations."""
    pair = processes.start(METRICS_PORT=port, **UNLIMITED)
    for _ in range(1000):
        assert send(pair.gateway.url, "POST", "/sum", AUTHORISED, SUM).status == 200
    wait_until(lambda: requests(counted()).get(("/sum", "200")) == 1000, "all are counted")
    samples = counted()
    assert samples['gateway_request_duration_seconds_count{route="/sum"}'] == 1000
    assert samples["gateway_malformed_lines_total"] == 0


def test_the_gateway_serves_without_the_counter(
    processes: ProcessStack, port: str, metrics: Process
) -> None:
    """Missing metrics fail no request."""
    metrics.stop()
    pair = processes.start(METRICS_PORT=port)
    assert send(pair.gateway.url, "POST", "/sum", AUTHORISED, SUM).json() == {"sum": 42}
