"""The headers that the gateway sends to the API, recorded by a listener in the API's place."""

import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import cast

import pytest

from stack import AUTHORISED, KEY, Part, ProcessStack, send
from zama_ops.contract_checks import SUM


class Listener(HTTPServer):
    """Replaces the API and keeps the headers of the latest request."""

    head = Message()


class Handler(BaseHTTPRequestHandler):
    """Answers every request with 200."""

    server: Listener

    def do_GET(self) -> None:
        self.server.head = self.headers
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        yield listener
        listener.shutdown()
        thread.join()


def test_the_api_gets_the_gateways_headers_and_not_the_callers(
    processes: ProcessStack, listener: Listener
) -> None:
    """The gateway sets client, address and id, and does not pass on the key."""
    api = cast("Part", SimpleNamespace(url=f"http://127.0.0.1:{listener.server_port}"))
    gateway = processes.start_gateway(api, API_KEYS=f"acme={KEY}")
    invented = {
        "Host": "api.example.com",
        "X-Api-Client": "globex",
        "X-Forwarded-For": "203.0.113.1",
        "X-Request-Id": "given",
        "Connection": "close",
    }
    assert send(gateway.url, "POST", "/sum", {**AUTHORISED, **invented}, SUM).status == 200
    names = ["Host", "X-Request-Id", "X-Api-Client", "X-Forwarded-For", "X-Api-Key", "Connection"]
    assert [listener.head.get_all(name) for name in names] == [
        ["api.example.com"],
        ["given"],
        ["acme"],
        ["127.0.0.1"],
        None,
        None,
    ]
