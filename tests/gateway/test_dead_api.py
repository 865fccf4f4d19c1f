"""An API that is replaced, dies or hangs behind nginx."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from stack import AUTHORISED, UNLIMITED, ProcessStack, constant_load, send
from zama_ops.contract_checks import SUM
from zama_ops.programs import wait_until

# The load balancer's interval between two health checks (terraform/alb.tf).
HEALTH_CHECK_SECONDS = 5


def test_the_api_is_replaced_behind_nginx_without_a_lost_request(processes: ProcessStack) -> None:
    """The next API listens on the same port before the previous one stops."""
    pair = processes.start(DRAIN_SECONDS="0.5", **UNLIMITED)
    with constant_load(pair.gateway.url) as load:
        api = pair.api
        for _ in range(3):
            time.sleep(0.2)
            successor = processes.start_successor(api, DRAIN_SECONDS="0.5")
            assert api.stop() == 0
            api = successor
        time.sleep(0.2)
    assert load.lost() == [], load.breakage()
    assert len(load.outcomes) > 300


def test_a_post_to_an_api_that_dies_is_retried(processes: ProcessStack) -> None:
    """If the API dies with a POST in flight, its successor answers the POST."""
    api = processes.start_api()
    gateway = processes.start_gateway(api, **UNLIMITED)
    # The POST goes to the first API, because nginx has kept a connection to it since its start.
    processes.start_successor(api)
    with ThreadPoolExecutor() as callers:
        api.freeze()
        answer = callers.submit(send, gateway.url, "POST", "/sum", AUTHORISED, SUM)
        wait_until(api.has_unread_bytes, "the API has the request")
        # A dying API may close the connection a moment before its listener.
        os.killpg(gateway.process.pid, signal.SIGSTOP)
        api.signal(signal.SIGKILL)
        api.wait()
        os.killpg(gateway.process.pid, signal.SIGCONT)
        assert answer.result().body == b'{"sum":42}'


def test_a_killed_api_causes_problems_until_it_returns(processes: ProcessStack) -> None:
    """Callers get 502 or 503 with Retry-After, and the sum within a second of its return."""
    pair = processes.start(**UNLIMITED)
    with constant_load(pair.gateway.url) as load:
        time.sleep(0.3)
        pair.api.signal(signal.SIGKILL)
        pair.api.wait()
        assert pair.gateway.status("/readyz") == 502
        time.sleep(0.3)
        processes.start_successor(pair.api)
        returned = time.monotonic()
        time.sleep(1.5)
    assert load.lost(), "nothing was sent while the API was dead"
    for outcome in load.lost():
        assert outcome.answer is not None, outcome.error
        assert outcome.answer.status in {502, 503}
        assert outcome.answer.headers["retry-after"] == "1"
        assert outcome.answer.headers["content-type"] == "application/problem+json"
        assert outcome.seconds < 1
    assert max(outcome.sent for outcome in load.lost()) < returned + 1
    assert all(outcome.ok for outcome in load.outcomes[-100:])


def test_a_frozen_api_does_not_make_callers_hang(processes: ProcessStack) -> None:
    """A caller gets a 504 before the next health check, and the gateway logs an error."""
    api = processes.start_api()
    gateway = processes.start_gateway(api, **UNLIMITED)
    api.freeze()
    began = time.monotonic()
    try:
        answer = send(gateway.url, "POST", "/sum", AUTHORISED, SUM, timeout=30)
    finally:
        api.signal(signal.SIGCONT)
    assert time.monotonic() - began < HEALTH_CHECK_SECONDS
    line = gateway.line(answer.headers["x-request-id"])
    assert line["level"] == "error"
    for took in (line["duration_ms"], line["upstream_ms"]):
        assert 1000 < took < HEALTH_CHECK_SECONDS * 1000
    assert answer.status == 504
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    wait_until(lambda: gateway.status("/readyz") == 200, "ready again", seconds=2)
