"""Every request of ours has a User-Agent: AWS's managed firewall rules block those without one."""

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stack import ZAMA
from zama_ops.callers import Callers
from zama_ops.contract_checks import caller
from zama_ops.programs import wait_until


class Recorder(ThreadingHTTPServer):
    """Answers every request with 503 and records its User-Agent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.agents: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def _record(self) -> None:
        self.server.agents.append(self.headers.get("User-Agent", "none"))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = _record  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


def test_smoke_names_itself(recorder: Recorder) -> None:
    """Otherwise each good release would fail its checks behind the firewall."""
    subprocess.run([str(ZAMA), "smoke", recorder.url], capture_output=True, check=False)
    assert len(recorder.agents) > 10
    assert set(recorder.agents) == {"zama-ops"}


def test_callers_name_themselves(recorder: Recorder) -> None:
    """They send the drills' load."""
    with Callers(caller(recorder.url, "a-key"), rate=50):
        wait_until(lambda: len(recorder.agents) > 3, "requests")
    assert set(recorder.agents) == {"zama-ops"}


@pytest.mark.needs("wrk")
def test_load_names_itself(recorder: Recorder) -> None:
    """The load generator sends none of its own."""
    command = [str(ZAMA), "load", recorder.url, "--rate", "20", "--seconds", "1"]
    subprocess.run(command, capture_output=True, check=False)
    assert set(recorder.agents) == {"zama-ops"}
