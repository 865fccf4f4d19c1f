"""`zama smoke`: a deployment, seen from outside, against the contract."""

import http.client
import json
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.table import Table

from zama_ops.account import EXAMPLE_KEY
from zama_ops.console import notes

_REQUEST_ID: Final = "zama-smoke"
SUM: Final = b'{"a": 2, "b": 40}'
_TIMEOUT_SECONDS: Final = 5
ConnectTo = Annotated[
    str | None,
    typer.Option(help="HOST:PORT to connect to instead; then certificates are for another."),
]
# Over the limit one waits as one is told to; more often than this is no accident.
_PATIENCE: Final = 3
# More than the default limit allows at once.
_BURST: Final = 20


class BrokenError(Exception):
    """What a check found, as one line."""


@dataclass(frozen=True)
class Answer:
    """A response: status, headers by lower-case name, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, decoded; None if it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class Result:
    """What became of a check; `detail` says what was found where it failed."""

    check: str
    passed: bool
    detail: str
    milliseconds: float


class Deployment:
    """Where the requests go.

    Arguments:
        url: of the deployment.
        key: a valid API key.
        connect_to: host and port to connect to instead of the URL's, if any.
        insecure: accept any certificate.

    """

    def __init__(self, url: str, key: str, connect_to: str | None, *, insecure: bool) -> None:
        parts = urlsplit(url)
        self.https = parts.scheme == "https"
        self._key = key
        self._host = parts.netloc
        self._address = connect_to or parts.netloc
        self._context = ssl.create_default_context()
        if insecure:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request with the key, unless `x_api_key` is another or empty.

        Raises:
            BrokenError: there is no answer.

        """
        connection = (
            http.client.HTTPSConnection(
                self._address, timeout=_TIMEOUT_SECONDS, context=self._context
            )
            if self.https
            else http.client.HTTPConnection(self._address, timeout=_TIMEOUT_SECONDS)
        )
        given = {
            "host": self._host,
            "x_request_id": _REQUEST_ID,
            "x_api_key": self._key,
            "content_type": "application/json",
            **headers,
        }
        try:
            connection.request(
                method,
                path,
                body,
                {name.replace("_", "-"): value for name, value in given.items() if value},
            )
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise BrokenError(f"no answer: {error}") from None
        finally:
            connection.close()

    def ask(
        self, status: int, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Answer:
        """Send a request, again where the limit is met, and expect a status.

        Raises:
            BrokenError: it is answered otherwise, or an error is no problem (RFC 9457).

        """
        for _ in range(_PATIENCE):
            answer = self.send(method, path, body, **headers)
            if answer.status != 429:
                break
            time.sleep(1)
        _expect(
            answer.status == status,
            f"{method} {path} was answered with {answer.status}, not {status}",
        )
        if status >= 400:
            _expect_problem(answer)
        return answer


def _expect(condition: object, found: str) -> None:
    if not condition:
        raise BrokenError(found)


def _expect_problem(answer: Answer) -> None:
    media_type = answer.headers.get("content-type", "")
    _expect(media_type == "application/problem+json", f"the error is {media_type or 'untyped'}")
    problem = answer.json()
    _expect(isinstance(problem, dict), "the problem is no JSON object")
    missing = {"type", "title", "status", "detail", "request_id"} - set(problem)
    _expect(not missing, f"the problem lacks {', '.join(sorted(missing))}")
    _expect(problem["status"] == answer.status, "the problem states another status")
    _expect(problem["request_id"] == _REQUEST_ID, "the problem has another request_id")


# --- Checks ---------------------------------------------------------------------------------------

Check = Callable[[Deployment], None]


def _lives(deployment: Deployment) -> None:
    answer = deployment.ask(200, "GET", "/healthz").json()
    _expect(answer and answer.get("status") == "ok", f"/healthz says {answer}")


def _is_ready(deployment: Deployment) -> None:
    answer = deployment.ask(200, "GET", "/readyz").json()
    _expect(answer == {"status": "ready"}, f"/readyz says {answer}")


def _adds(a: int, b: int) -> Check:
    def check(deployment: Deployment) -> None:
        answer = deployment.ask(200, "POST", "/sum", json.dumps({"a": a, "b": b}).encode())
        _expect(answer.json() == {"sum": a + b}, f"{a} + {b} is {answer.body[:100]!r}")

    return check


def _refuses(
    status: int, body: bytes = SUM, answer_header: str | None = None, **headers: str
) -> Check:
    def check(deployment: Deployment) -> None:
        answer = deployment.ask(status, "POST", "/sum", body, **headers)
        _expect(not answer_header or answer_header in answer.headers, f"{answer_header} is missing")

    return check


def _refuses_other_method(deployment: Deployment) -> None:
    answer = deployment.ask(405, "GET", "/sum")
    _expect(answer.headers.get("allow") == "POST", "Allow does not say POST")


def _hides_the_rest(deployment: Deployment) -> None:
    for path in ("/metrics", "/no/such/path"):
        deployment.ask(404, "GET", path)


def _documents_itself(deployment: Deployment) -> None:
    contract = deployment.ask(200, "GET", "/openapi.json").json()
    _expect(contract and contract.get("openapi", "").startswith("3.1"), "no OpenAPI 3.1")
    page = deployment.ask(200, "GET", "/docs").headers.get("content-type", "")
    _expect(page.startswith("text/html"), f"/docs is {page}")


def _protects_browsers(deployment: Deployment) -> None:
    for status, path in ((200, "/healthz"), (404, "/no/such/path")):
        answer = deployment.ask(status, "GET", path)
        expected = {
            "x-request-id": _REQUEST_ID,
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        }
        for name, value in expected.items():
            _expect(answer.headers.get(name) == value, f"{name} of {path} is not {value}")
        server = answer.headers.get("server", "")
        _expect(not any(letter.isdigit() for letter in server), f"Server tells {server}")
        hsts = "strict-transport-security" in answer.headers
        _expect(hsts or not deployment.https, f"no HSTS of {path}")


def _limits(deployment: Deployment) -> None:
    for _ in range(_BURST):
        answer = deployment.send("POST", "/sum", SUM, x_api_key="")
        if answer.status == 429:
            _expect_problem(answer)
            expected = {"retry-after": "1", "ratelimit": '"default";r=0;t=1'}
            for name, value in expected.items():
                _expect(answer.headers.get(name) == value, f"{name} is not {value}")
            return
        _expect(answer.status == 401, f"a request without a key got {answer.status}")
    # Then the limit is higher than that, which is a setting.


CHECKS: Final[dict[str, Check]] = {
    "GET /healthz: alive": _lives,
    "GET /readyz: ready": _is_ready,
    "POST /sum: the sum": _adds(2, 40),
    "POST /sum: exact beyond 64 bits": _adds(2**63 - 1, 2**63 - 1),
    "no key: 401 with WWW-Authenticate": _refuses(
        401, x_api_key="", answer_header="www-authenticate"
    ),
    "a wrong key: 403": _refuses(403, x_api_key="no-such-key"),
    "a body that is no JSON: 400": _refuses(400, b'{"a": 2, "b"'),
    "JSON of another shape: 422": _refuses(422, b'{"a": 2, "b": 0.5}'),
    "a body over 1 KiB: 413": _refuses(413, b" " * 1025),
    "a body of another type: 415": _refuses(415, content_type="text/plain"),
    "another method: 405 with Allow": _refuses_other_method,
    "GET /metrics and what is not there: 404": _hides_the_rest,
    "the contract and the developer portal": _documents_itself,
    "headers of every response": _protects_browsers,
    "over the limit: 429 that says when to come back": _limits,
}
"""In order; the limit comes last, for it spoils what follows."""


# --- Command --------------------------------------------------------------------------------------


def smoke(
    url: Annotated[str, typer.Argument(help="Such as http://localhost:8081 or https://...")],
    *,
    connect_to: ConnectTo = None,
    insecure: Annotated[bool, typer.Option(help="Accept any certificate.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Check a deployment from outside against the contract, in some seconds.

    A valid key comes from the environment, API_KEY, so that no list of processes shows it; on this
    machine it is CHANGEME unless set. Exit code 1: a check failed; 2: there is no key or no URL.
    """
    deployment = Deployment(url, key_for(url), connect_to, insecure=insecure)
    results = [perform(name, deployment) for name in CHECKS]
    passed = all(result.passed for result in results)
    if as_json:
        report = {"url": url, "passed": passed, "checks": [asdict(one) for one in results]}
        typer.echo(json.dumps(report, indent=2))
    else:
        Console().print(_table(results))
    if not passed:
        raise typer.Exit(1)


def key_for(url: str) -> str:
    """Return the key to call a deployment with.

    Raises:
        typer.Exit: that is no URL, or there is no key; with code 2, and it was said.

    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        notes.print(f"zama: {url!r} is no URL such as http://localhost:8081", style="red")
        raise typer.Exit(2)
    key = os.environ.get("API_KEY", "")
    if not key and parts.hostname in {"localhost", "127.0.0.1", "::1"}:
        key = EXAMPLE_KEY
    if not key:
        notes.print("zama: set API_KEY to a valid key of this deployment", style="red")
        raise typer.Exit(2)
    return key


def perform(name: str, deployment: Deployment) -> Result:
    """Run one check."""
    began = time.monotonic()
    try:
        CHECKS[name](deployment)
        detail = ""
    except BrokenError as broken:
        detail = str(broken)
    milliseconds = round((time.monotonic() - began) * 1000, 1)
    return Result(name, not detail, detail, milliseconds)


def _table(results: list[Result]) -> Table:
    table = Table("", "check", "found", "ms")
    for result in results:
        mark = "[green]✓[/]" if result.passed else "[red]✗[/]"
        table.add_row(mark, result.check, result.detail, f"{result.milliseconds:.0f}")
    return table
