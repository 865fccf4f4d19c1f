"""Callers without a key cause no 5xx and do not affect a caller with one."""

import contextlib
import csv
import io
import itertools
import multiprocessing
import os
import socket
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import attacks
from attacks import BODIES, DECLARED, HEADS, KEYLESS, PUBLIC
from compose import Container
from stack import (
    AUTHORISED,
    TESTER,
    UNLIMITED,
    Pair,
    Process,
    ProcessStack,
    Report,
    Stack,
    children,
    connect,
    constant_load,
    exchange,
    kernel_says,
    send,
    status,
)
from zama_ops.callers import Callers
from zama_ops.contract_checks import SUM
from zama_ops.programs import free_port, wait_until

CONFIGURATION = Path(__file__).with_name("haproxy.cfg")
# Most of the places in the gateway's table of connections.
CONNECTIONS = 6000
MOST_MIB = 200
SECONDS = 2
RATE = 40
# Of a flood.
CALLERS = 200
# The promise for callers with a key during a flood, about ten times the measured latency.
MOST_MILLISECONDS = 50


@pytest.fixture(autouse=True)
def _enough_files() -> Iterator[None]:
    with attacks.enough_files():
        yield


@pytest.fixture(scope="module")
def attacked(module_stack: Stack) -> Pair:
    return module_stack.start(TRUSTED_PROXIES=TESTER, **UNLIMITED)


@pytest.fixture(scope="module")
def attacker() -> Iterator[Executor]:
    """Another process, because threads of this one would delay each other's measured calls."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        process.submit(os.getpid).result()
        yield process


def directly(pair: Pair) -> tuple[str, int]:
    """Return the gateway's address, without the proxy that publishes a container's port."""
    if isinstance(pair.api, Container):
        return attacks.target_in(pair.api.id)
    target = urlsplit(pair.gateway.url)
    return target.hostname or "", target.port or 0


def memory_mib(pair: Pair) -> float:
    """Return the memory of the pair's programs or containers."""
    if isinstance(pair.gateway, Process) and isinstance(pair.api, Process):
        masters = pair.gateway.children()
        workers = [worker for pid in masters for worker in children(pid)]
        pids = [pair.api.process.pid, pair.gateway.process.pid, *masters, *workers]
        return sum(int(kernel_says(pid)["VmRSS"].removesuffix(" kB")) for pid in pids) / 1024
    return attacks.memory_mib(
        *(part.id for part in (pair.api, pair.gateway) if isinstance(part, Container))
    )


@contextlib.contextmanager
def unaffected(pair: Pair) -> Iterator[Callers]:
    """Check that every call and health check during the block succeeds, without a 5xx."""
    url, ended = pair.gateway.url, threading.Event()

    def check() -> list[int]:
        answers = []
        while not ended.wait(0.05):
            # On new connections, as a caller who was idle, or a load balancer.
            answers += [status(url, "/readyz"), send(url, "POST", "/sum", AUTHORISED, SUM).status]
        return answers

    with ThreadPoolExecutor() as pool, constant_load(url, RATE) as load:
        checks = pool.submit(check)
        try:
            yield load
        finally:
            ended.set()
    assert load.lost() == [], load.breakage()
    assert len(load.outcomes) > RATE * SECONDS / 2
    assert Counter(checks.result()).keys() == {200}
    answer = send(url, "POST", "/last")
    pair.gateway.line(answer.headers["x-request-id"], 10)
    assert [line for line in pair.gateway.requests() if line["status"] >= 500] == []
    assert pair.gateway.errors() == b""


def test_thousands_of_connections_affect_no_caller_with_a_key(
    attacked: Pair, report: Report
) -> None:
    """All calls and health checks are answered, nothing is a 5xx, and memory stays small."""
    beginnings = [*HEADS.values(), *BODIES.values()]
    with unaffected(attacked), attacks.held(directly(attacked), beginnings, CONNECTIONS):
        time.sleep(SECONDS)
        memory = memory_mib(attacked)
    report(f"{CONNECTIONS} slow or idle connections: {memory:.0f} MiB for the pair")
    assert memory < MOST_MIB


def test_reconnecting_callers_affect_no_caller_with_a_key(attacked: Pair) -> None:
    """Connections that open and close at once cost others nothing."""
    with unaffected(attacked):
        attacks.reconnect(directly(attacked), SECONDS)


@pytest.mark.parametrize(("path", "addresses"), [("/healthz", 1), ("/docs/docs.js", CALLERS)])
def test_a_flood_of_a_public_path_delays_no_caller_with_a_key(
    attacked: Pair, attacker: Executor, path: str, addresses: int, report: Report
) -> None:
    """Each connection gets a refusal a second, whether the flood has one address or many.

    A container has the share of a small task, which refusals at full speed would use up.
    """
    with unaffected(attacked) as undisturbed:
        time.sleep(SECONDS)
    with unaffected(attacked) as load:
        began = time.monotonic()
        answers = attacker.submit(
            attacks.flood,
            directly(attacked),
            path,
            addresses=addresses,
            callers=CALLERS,
            # Longer than the other attacks, so that a slow machine makes enough calls.
            seconds=2 * SECONDS,
        ).result()
        seconds = time.monotonic() - began
    before, milliseconds = (
        1000 * statistics.median(outcome.seconds for outcome in one.outcomes)
        for one in (undisturbed, load)
    )
    report(
        f"a flood of {path} from {addresses} addresses: median {milliseconds:.1f} ms,"
        f" {before:.1f} ms before it"
    )
    assert 0 < answers[429] <= CALLERS * (10 + seconds)
    assert answers[200] <= 500 + 500 * seconds
    # Other tests slow down a busy machine.
    assert milliseconds < MOST_MILLISECONDS + 10 * before
    # One in a hundred has a line.
    lines = [(line["path"], line["status"]) for line in attacked.gateway.requests()]
    assert lines.count((path, 429)) < answers[429] / 10


def test_pipelined_requests_of_a_public_path_are_held_back(attacked: Pair) -> None:
    """After the burst, a connection gets a refusal a second, even if it sends many at once."""
    request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n"
    with socket.create_connection(directly(attacked), 15) as caller:
        caller.sendall(300 * request)
        time.sleep(SECONDS)
        answers = caller.recv(2**20)
    assert 1 <= answers.count(b" 429 ") <= 2 + SECONDS


def test_a_refused_body_holds_a_connection_for_seconds(attacked: Pair) -> None:
    """The answer comes at once, and a caller that keeps sending is disconnected."""
    with contextlib.ExitStack() as opened:
        callers = [opened.enter_context(connect(attacked.gateway.url, 30)) for _ in BODIES]
        for caller, beginning in zip(callers, BODIES.values(), strict=True):
            caller.sendall(beginning)
        began = time.monotonic()
        answers = [int(caller.recv(65536).split(b" ", 2)[1]) for caller in callers]
        assert answers == [413, 413, 401, 401, 405, 401]
        open_callers = set(callers)
        while open_callers:
            time.sleep(0.5)
            for caller in list(open_callers):
                try:
                    caller.sendall(b"x")
                except ConnectionError:
                    open_callers.remove(caller)
            assert time.monotonic() - began < 20


# --- Behind a load balancer -----------------------------------------------------------------------

REFUSED = [
    *BODIES.values(),
    KEYLESS + b"Expect: 100-continue\r\n" + DECLARED,
    KEYLESS + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    PUBLIC + b"Transfer-Encoding: gzip\r\n\r\n",
    PUBLIC + b"Transfer-Encoding: identity\r\n\r\n",
    KEYLESS + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    KEYLESS + b"Content-Length: 1000000\r\n\r\n",
    b"GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    b"TRACE /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"M-SEARCH * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\x80<> HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /%00%ff%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /_problem HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /" + 9000 * b"x" + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    PUBLIC + b"X-Large: " + 9000 * b"x" + b"\r\n\r\n",
    PUBLIC + 3 * (b"X-Large: " + 7000 * b"x" + b"\r\n") + b"\r\n",
    PUBLIC + b"".join(b"X-%d: x\r\n" % number for number in range(150)) + b"\r\n",
    PUBLIC + b"X-Control: \x01\x1b[31m\x7f\r\n\r\n",
    PUBLIC + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n\r\n",
    PUBLIC + b"Range: bytes=9-1\r\nIf-Match: x\r\nIf-Unmodified-Since: x\r\n\r\n",
    b"GET /docs HTTP/1.1\r\nHost: a\r\nIf-Match: x\r\nRange: bytes=99999999-\r\n\r\n",
    b'GET /healthz HTTP/1.1\r\nHost: "<\x80>\r\n\r\n',
    b"GET /healthz\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
]


@pytest.fixture
def load_balancer(attacked: Pair) -> Iterator[tuple[str, str]]:
    """Start HAProxy in front of the gateway; yield its URL and that of its statistics."""
    ports = {
        "PORT": str(free_port()),
        "STATISTICS_PORT": str(free_port()),
        "GATEWAY_PORT": str(urlsplit(attacked.gateway.url).port),
    }
    command = ["haproxy", "-db", "-f", str(CONFIGURATION)]
    with subprocess.Popen(command, env={**os.environ, **ports}) as process:
        url, statistics = (f"http://127.0.0.1:{ports[name]}" for name in list(ports)[:2])
        try:
            wait_until(lambda: status(url, "/healthz") == 200, "load balancer answers")
            yield url, statistics
        finally:
            process.terminate()


@pytest.mark.needs("haproxy")
def test_no_caller_without_a_key_causes_a_5xx(
    attacked: Pair, load_balancer: tuple[str, str]
) -> None:
    """Neither the gateway nor a load balancer in front of it answers with a 5xx."""
    url, statistics = load_balancer
    with contextlib.ExitStack() as opened:
        for target, request in itertools.product((url, attacked.gateway.url), REFUSED):
            opened.enter_context(connect(target)).sendall(request)
        # Longer than the gateway waits for the rest of a refused body.
        time.sleep(6)
        assert status(url, "/readyz") == 200
    rows = csv.DictReader(io.StringIO(send(statistics, path="/;csv").body.decode()[2:]))
    found = {(row["pxname"], row["svname"]): row for row in rows}
    frontend = found["load_balancer", "FRONTEND"]
    assert int(frontend["hrsp_4xx"]) > len(REFUSED) / 2
    assert int(frontend["hrsp_5xx"]) == 0
    assert int(found["gateway", "BACKEND"]["hrsp_5xx"]) == 0
    logged = Counter(line["status"] for line in attacked.gateway.requests())
    assert [code for code in logged if code >= 500] == []


def test_what_the_gateway_refuses_is_a_problem_with_an_id(attacked: Pair) -> None:
    """Every error has a body and an id, whatever a caller without a key sends."""
    for request in REFUSED:
        with connect(attacked.gateway.url) as caller:
            caller.sendall(request)
            head, _, body = caller.recv(65536).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 4"):
            assert head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 100 ", b'{"')), request
            continue
        assert b"\r\nContent-Type: application/problem+json\r\n" in head, request
        assert b'"request_id":"' in body, request


def test_the_error_log_quotes_no_caller(processes: ProcessStack) -> None:
    """Failed requests leave no query string, no Referer and no control character in it."""
    pair = processes.start(**UNLIMITED)
    pair.api.stop()
    hostile = b"X-Api-Key: CHANGEME\r\nReferer: http://secret/\x1b[31m\r\nConnection: close\r\n\r\n"
    for path in (b"/healthz?secret", b"/sum?secret"):
        answer = exchange(pair.gateway.url, b"GET %s HTTP/1.1\r\nHost: secret\r\n" % path + hostile)
        assert b" 502 " in answer
    for request in REFUSED:
        with connect(pair.gateway.url) as caller:
            caller.sendall(request)
            caller.recv(65536)
    assert pair.gateway.stop() == 0
    assert pair.gateway.errors() == b""
