"""Kept connections and the chain of timeouts, read from the rendered configuration."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stack import AUTHORISED, KEY, UNLIMITED, ProcessStack, send
from zama_api import connection
from zama_ops.contract_checks import SUM
from zama_ops.pair import ENTRYPOINT
from zama_ops.paths import ROOT
from zama_ops.programs import run

LOAD_BALANCER_IDLE_SECONDS = 60


@pytest.fixture(scope="module")
def rendered(nginx: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the whole configuration that nginx would start with."""
    here = {"NGINX_BINARY": nginx, "TMPDIR": str(tmp_path_factory.mktemp("rendered"))}
    folder = run(str(ENTRYPOINT), "check", API_KEY=KEY, LISTEN_PORT="8081", **here).strip()
    dump = run(nginx, "-T", "-e", "stderr", "-p", folder, "-c", f"{folder}/nginx.conf")
    return re.sub(r"#.*", "", dump)


def seconds(configuration: str, directive: str) -> int:
    (value,) = re.findall(rf"^\s*{directive}\s+(\d+)s;", configuration, re.MULTILINE)
    return int(value)


def test_the_sender_on_a_connection_closes_it_first(rendered: str) -> None:
    """The load balancer closes before nginx, and nginx before the API, so no request is lost."""
    upstream = re.search(r"upstream api \{(.*?)\n\}", rendered, re.DOTALL)
    assert upstream
    client = seconds(rendered.replace(upstream.group(1), ""), "keepalive_timeout")
    assert client > LOAD_BALANCER_IDLE_SECONDS
    assert seconds(upstream.group(1), "keepalive_timeout") < connection.KEEP_ALIVE_SECONDS


def test_a_stuck_api_is_detected_before_the_next_health_check(rendered: str) -> None:
    """Connecting and one wait take less than the interval, and neither is retried.

    A request fits into the kernel's buffers, so nginx waits either to send it or for the
    response.
    """
    (interval,) = re.findall(r" interval += (\d+)\n", (ROOT / "terraform" / "alb.tf").read_text())
    connect = seconds(rendered, "proxy_connect_timeout")
    wait = max(seconds(rendered, f"proxy_{step}_timeout") for step in ("send", "read"))
    assert connect + wait < int(interval)
    (retried,) = re.findall(r"\sproxy_next_upstream ([^;]+);", rendered)
    assert "timeout" not in retried.split()


def test_the_only_api_is_tried_twice_and_never_removed(rendered: str) -> None:
    """The upstream lists the API twice, and no failure removes it."""
    assert re.findall(r"\sserver (\S+:\d+.*);", rendered) == ["127.0.0.1:8080 max_fails=0"] * 2


def test_a_slow_caller_times_out_before_a_stop_does(rendered: str) -> None:
    """After the drain, a stalled caller times out before the gateway's stop does."""
    source = ENTRYPOINT.read_text()
    (stop,) = re.findall(r"^stop_seconds=(\d+)", source, re.MULTILINE)
    (drain,) = re.findall(r"DRAIN_SECONDS:-(\d+)", source)
    for directive in ("client_header_timeout", "client_body_timeout", "send_timeout"):
        assert seconds(rendered, directive) < int(stop) - int(drain)


def test_a_busy_connection_is_kept_for_hours(rendered: str) -> None:
    """Both sides serve far more than nginx's default of 1,000 requests on a connection."""
    limits = re.findall(r"\skeepalive_requests (\d+);", rendered)
    assert len(limits) == 2
    assert min(map(int, limits)) > 10_000


def connections_to(port: int) -> Counter[str]:
    """Count this machine's connections to a port by the client's state (proc(5))."""
    states = {"01": "established", "06": "time_wait"}
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return Counter(
        states.get(state, state) for _, _, to, state, *_ in fields if to.endswith(f":{port:04X}")
    )


def test_connections_to_the_api_are_kept(processes: ProcessStack) -> None:
    """There are no more connections to the API than concurrent callers."""
    pair = processes.start(**UNLIMITED)
    port = urlsplit(pair.api.url).port
    assert port

    def call(_: int) -> int:
        return send(pair.gateway.url, "POST", "/sum", AUTHORISED, SUM).status

    at_once = 16
    with ThreadPoolExecutor(at_once) as callers:
        assert set(callers.map(call, range(400))) == {200}
    found = connections_to(port)
    assert found["established"] >= 1
    # The total includes connections of the health checks at the start.
    assert found.total() <= at_once + 5
