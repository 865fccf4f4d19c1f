"""Kept connections, and the chain of timeouts, read from what is really configured."""

import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stack import AUTHORISED, ENTRYPOINT, KEY, SUM, UNLIMITED, ProcessStack, send
from zama_api import server

LOAD_BALANCER_IDLE_SECONDS = 60


@pytest.fixture(scope="module")
def rendered(nginx: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the whole configuration that nginx would start with."""
    environ = {
        **os.environ,
        "API_KEY": KEY,
        "NGINX_BINARY": nginx,
        "TMPDIR": str(tmp_path_factory.mktemp("rendered")),
    }
    check = subprocess.run(
        [str(ENTRYPOINT), "check"], env=environ, capture_output=True, text=True, check=True
    )
    run = Path(check.stdout.strip())
    dump = subprocess.run(
        [nginx, "-T", "-e", "stderr", "-p", str(run), "-c", str(run / "nginx.conf")],
        capture_output=True,
        text=True,
        check=True,
    )
    return re.sub(r"#.*", "", dump.stdout)


def seconds(configuration: str, directive: str) -> int:
    """Return the value of a directive that stands once."""
    (value,) = re.findall(rf"^\s*{directive}\s+(\d+)s;", configuration, re.MULTILINE)
    return int(value)


def test_who_sends_on_a_connection_closes_it_first(rendered: str) -> None:
    """Load balancer before nginx, nginx before the API: no request meets a closing connection."""
    upstream = re.search(r"upstream api \{(.*?)\n\}", rendered, re.DOTALL)
    assert upstream
    client = seconds(rendered.replace(upstream.group(1), ""), "keepalive_timeout")
    assert client > LOAD_BALANCER_IDLE_SECONDS
    assert seconds(upstream.group(1), "keepalive_timeout") < server.KEEP_ALIVE_SECONDS


def test_an_answer_comes_before_the_load_balancer_gives_up(rendered: str) -> None:
    """Two attempts to reach the API and one answer fit into the idle timeout."""
    connect = seconds(rendered, "proxy_connect_timeout")
    answer = seconds(rendered, "proxy_read_timeout") + seconds(rendered, "proxy_send_timeout")
    assert 2 * (connect + answer) < LOAD_BALANCER_IDLE_SECONDS


def connections_to(port: int) -> Counter[str]:
    """Count this machine's connections to a port by the state of their caller's end (proc(5))."""
    states = {"01": "established", "06": "time_wait"}
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return Counter(
        states.get(state, state) for _, _, to, state, *_ in fields if to.endswith(f":{port:04X}")
    )


def test_connections_to_the_api_are_kept(processes: ProcessStack) -> None:
    """A hundred callers, each with a connection of its own, need but a few to the API."""
    pair = processes.start(**UNLIMITED)
    port = urlsplit(pair.api.url).port
    assert port
    for _ in range(100):
        assert send(pair.gateway.url, "POST", "/sum", AUTHORISED, SUM).status == 200
    found = connections_to(port)
    assert found["established"] >= 1
    # Those of the start, when both were asked whether they answer, are among them.
    assert found.total() <= 10
