"""The API without its server: tests pass requests and receive responses as a server does."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import msgspec

from zama_api.app import Application
from zama_api.config import Settings
from zama_api.health import Health
from zama_api.journal import Journal
from zama_api.logs import Log
from zama_api.metrics import Metrics


class Response(NamedTuple):
    """A response as the caller sees it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Service:
    """The application with everything around it but the server; it logs to a file descriptor."""

    def __init__(self, output: int, settings: Settings, ready_delay_seconds: float) -> None:
        self._output = output
        self.health = Health(ready_delay_seconds)
        self.metrics = Metrics(settings.version)
        log = Log("debug", output)
        self.journal = Journal(log, self.metrics)
        self.application = Application(settings, self.health, log, self.metrics, self.journal)

    def request(self, method: str, path: str, body: bytes = b"", /, **environ: Any) -> Response:
        """Send a request; keywords add entries to environ, such as HTTP_X_REQUEST_ID."""
        answers = []
        written: list[bytes] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], _exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            answers.append((status, headers))
            return written.append

        returned = self.application(
            {
                "REQUEST_METHOD": method,
                "PATH_INFO": path,
                "REMOTE_ADDR": "192.0.2.1",
                "wsgi.input": BytesIO(body),
                **environ,
            },
            start_response,
        )
        ((status, headers),) = answers
        names = [name for name, _ in headers]
        assert names == [name.lower() for name in names]
        assert len(names) == len(set(names)), "a header occurs twice"
        return Response(
            int(status.split(" ", 1)[0]), dict(headers), b"".join([*written, *returned])
        )

    def sum(self, body: bytes, /, **environ: Any) -> Response:
        """Post `body` to /sum as JSON, unless `environ` has another content type."""
        return self.request("POST", "/sum", body, **{"CONTENT_TYPE": "application/json", **environ})

    def log_lines(self) -> list[bytes]:
        self.journal.flush()
        size = os.fstat(self._output).st_size
        *lines, rest = os.pread(self._output, size, 0).split(b"\n")
        assert rest == b"", "the last line is incomplete"
        return lines

    def logged(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.log_lines()]


@contextmanager
def run(
    settings: Settings = Settings(version="1.2.3"),  # noqa: B008 - settings are immutable
    ready_delay_seconds: float = 0,
) -> Iterator[Service]:
    """Make a service that logs to a temporary file."""
    with TemporaryFile() as output:
        yield Service(output.fileno(), settings, ready_delay_seconds)


def assert_problem(response: Response, status: int) -> str:
    """Check that a response is a problem with `status`, and return its detail."""
    assert response.status == status, response.body
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json
    members = {"type", "title", "status", "detail", "request_id"}
    assert problem.keys() == (members | {"errors"} if status == 422 else members)
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["type"] == f"/docs#{problem['title'].lower().replace(' ', '-')}"
    assert problem["detail"].endswith(".")
    detail: str = problem["detail"]
    return detail


def at_once(work: Callable[[int], object]) -> None:
    """Call `work` with 0 to 3 in four threads that start together."""
    together = threading.Barrier(4)

    def begin(number: int) -> None:
        together.wait()
        work(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, range(4)))
