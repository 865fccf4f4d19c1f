"""The real pair of processes, API and gateway, and the means to talk to them."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).parents[1]
ENTRYPOINT: Final = ROOT / "services" / "nginx" / "entrypoint"

KEY: Final = "CHANGEME"
SUM: Final = b'{"a": 2, "b": 40}'
JSON: Final = {"Content-Type": "application/json"}
AUTHORISED: Final = {**JSON, "X-Api-Key": KEY}
# High enough that only the limiter's own tests meet it.
UNLIMITED: Final = {"RATE_LIMIT": "100000", "RATE_BURST": "100000"}

START_SECONDS: Final = 10
STOP_SECONDS: Final = 30


def free_port() -> int:
    """Return a TCP port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], what: str, seconds: float = START_SECONDS) -> None:
    """Return as soon as `condition` holds.

    Raises:
        TimeoutError: it does not hold within `seconds`.

    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


@dataclass(frozen=True)
class Answer:
    """A response: status, headers by lower-case name, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, decoded."""
        return json.loads(self.body)


def send(
    url: str,
    method: str = "GET",
    path: str = "/",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 15,
) -> Answer:
    """Send one request on a connection of its own; the path goes out as it is."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=timeout)
    with contextlib.closing(connection):
        connection.request(method, path, body, dict(headers or {}))
        return read(connection)


def read(connection: http.client.HTTPConnection) -> Answer:
    """Read the response to the request sent last."""
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def exchange(url: str, data: bytes, seconds: float = 15) -> bytes:
    """Send bytes as they are and return all that comes until the other side closes.

    Raises:
        TimeoutError: it does not close within `seconds`.

    """
    address = urlsplit(url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=seconds) as connection:
        # Who is refused may be cut off while still sending; what was answered counts.
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65536):
                received += chunk
    return received


@dataclass
class Part:
    """A running process of the pair; what it prints goes to files."""

    process: subprocess.Popen[bytes]
    url: str
    stdout: Path
    stderr: Path

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.terminate()

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(STOP_SECONDS)

    def children(self) -> list[int]:
        """Return the ids of the processes it started."""
        pid = self.process.pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    def lines(self) -> list[dict[str, Any]]:
        """Return what it logged, each line decoded."""
        return [json.loads(line) for line in self.stdout.read_bytes().splitlines()]

    def requests(self) -> list[dict[str, Any]]:
        """Return its access lines."""
        return [line for line in self.lines() if line["event"] == "request"]

    def line(self, request_id: str, seconds: float = 2) -> dict[str, Any]:
        """Return the access line of one request, which must be written within `seconds`."""

        def find() -> list[dict[str, Any]]:
            return [line for line in self.requests() if line["request_id"] == request_id]

        wait_until(find, f"access line of {request_id}", seconds)
        (line,) = find()
        return line


@dataclass
class Pair:
    """An API and the gateway in front of it."""

    api: Part
    gateway: Part


@dataclass
class Stack:
    """Starts parts in `directory` and ends them all, come what may."""

    directory: Path
    nginx_binary: str
    parts: list[Part] = field(default_factory=list)

    def start_api(self, **settings: str) -> Part:
        """Start an API, on a free port unless PORT is given, and wait until it answers."""
        port = int(settings.pop("PORT", free_port()))
        settings = {"READY_DELAY_SECONDS": "0", "DRAIN_SECONDS": "0", **settings}
        return self._start(
            "api", [sys.executable, "-m", "zama_api"], port, PORT=str(port), **settings
        )

    def start_gateway(self, api: Part, **settings: str) -> Part:
        """Start a gateway in front of `api` and wait until it answers."""
        port = free_port()
        return self._start(
            "gateway",
            [str(ENTRYPOINT)],
            port,
            **{
                "NGINX_BINARY": self.nginx_binary,
                "LISTEN_HOST": "127.0.0.1",
                "LISTEN_PORT": str(port),
                "API_PORT": str(urlsplit(api.url).port),
                "DRAIN_SECONDS": "0",
                **settings,
            },
        )

    def start(self, **settings: str) -> Pair:
        """Start a pair with the same settings for both."""
        api = self.start_api(**settings)
        return Pair(api, self.start_gateway(api, **settings))

    def end(self) -> None:
        """End what still runs: gently, and if that fails with all it started."""
        processes = [part.process for part in self.parts]
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            finally:
                # What it started and left behind: a killed nginx leaves its worker.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _start(self, name: str, command: list[str], port: int, **settings: str) -> Part:
        if "API_KEYS" not in settings:
            settings = {"API_KEY": KEY, **settings}
        base = self.directory / f"{name}-{len(self.parts)}"
        stdout, stderr = base.with_suffix(".stdout"), base.with_suffix(".stderr")
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(
                command,
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        part = Part(process, f"http://127.0.0.1:{port}", stdout, stderr)
        self.parts.append(part)

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended at once: {stderr.read_text()}")
            with contextlib.suppress(OSError):
                return send(part.url, path="/healthz").status < 600
            return False

        wait_until(answers, f"{name} answers")
        return part
