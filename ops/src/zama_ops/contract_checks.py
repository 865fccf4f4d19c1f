"""Checks of the API contract, from outside."""

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import typer

from zama_ops.console import notes
from zama_ops.errors import CommandError
from zama_ops.http_client import Answer, HttpClient, NoAnswerError

SUM: Final = b'{"a": 2, "b": 40}'
EXAMPLE_KEY: Final = "CHANGEME"
READY: Final = "GET /readyz: ready"

_REQUEST_ID: Final = "zama-smoke"
# Attempts at a request that the rate limit refuses.
_TRIES: Final = 3
# Larger than the default limit's burst.
_BURST: Final = 20


class BrokenError(Exception):
    """A failed check, described in one line."""


@dataclass(frozen=True)
class Result:
    """The outcome of a check; `detail` describes a failure."""

    check: str
    passed: bool
    detail: str
    milliseconds: float


def caller(
    url: str, key: str, connect_to: str | None = None, *, insecure: bool = False
) -> HttpClient:
    """Return an HTTP client that sends the key with each request."""
    headers = {"X-Api-Key": key, "Content-Type": "application/json", "X-Request-Id": _REQUEST_ID}
    return HttpClient(url, headers, connect_to, insecure)


def key_for(url: str) -> str:
    """Return API_KEY; if it is unset and the URL is local, return the example key.

    A key that is missing or cannot be sent ends the command with a message and exit code 2.
    """
    key = os.environ.get("API_KEY", "")
    if not key and urlsplit(url).hostname in {"localhost", "127.0.0.1", "::1"}:
        key = EXAMPLE_KEY
    if not key:
        notes.print("zama: set API_KEY to a valid key of this deployment", style="red")
        raise typer.Exit(2)
    if not re.fullmatch("[!-~]+", key):
        notes.print(
            "zama: API_KEY has a character that no key has: copy the key again", style="red"
        )
        raise typer.Exit(2)
    return key


def require_answer(service: HttpClient) -> None:
    """Check that a server answers, whatever it answers.

    Raises:
        CommandError: it does not.

    """
    try:
        service.send("GET", "/healthz")
    except NoAnswerError as error:
        raise CommandError(f"{service.url} does not answer: {error}") from None


def perform(name: str, service: HttpClient) -> Result:
    """Run one of CHECKS."""
    began = time.monotonic()
    try:
        CHECKS[name](service)
        detail = ""
    except BrokenError as broken:
        detail = str(broken)
    except NoAnswerError as error:
        detail = f"no answer: {error}"
    milliseconds = round((time.monotonic() - began) * 1000, 1)
    return Result(name, not detail, detail, milliseconds)


def faults_of(service: HttpClient) -> list[str]:
    """Return the failed checks, one line each; without a key, only the service's readiness."""
    names = [*CHECKS] if service.headers.get("X-Api-Key") else [READY]
    results = [perform(name, service) for name in names]
    return [f"{one.check}: {one.detail}" for one in results if not one.passed]


def expect(
    service: HttpClient,
    status: int,
    method: str,
    path: str,
    body: bytes | None = None,
    **headers: str | None,
) -> Answer:
    """Send a request, retry it if the rate limit refuses it, and expect a status.

    Raises:
        BrokenError: the status differs, or an error is not a problem document (RFC 9457).
        NoAnswerError: there is no answer.

    """
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    for _ in range(_TRIES):
        answer = service.send(method, path, body, given)
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


def _expect(condition: object, fault: str) -> None:
    if not condition:
        raise BrokenError(fault)


def _decoded(answer: Answer) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _expect_problem(answer: Answer) -> None:
    media_type = answer.headers.get("content-type", "")
    _expect(media_type == "application/problem+json", f"the error is {media_type or 'untyped'}")
    problem = _decoded(answer)
    _expect(isinstance(problem, dict), "the problem is not a JSON object")
    missing = {"type", "title", "status", "detail", "request_id"} - set(problem)
    _expect(not missing, f"the problem lacks {', '.join(sorted(missing))}")
    _expect(problem["status"] == answer.status, "the problem has a different status")
    _expect(problem["request_id"] == _REQUEST_ID, "the problem has a different request_id")


Check = Callable[[HttpClient], None]


def _lives(service: HttpClient) -> None:
    answer = _decoded(expect(service, 200, "GET", "/healthz"))
    _expect(answer and answer.get("status") == "ok", f"/healthz says {answer}")


def _is_ready(service: HttpClient) -> None:
    answer = _decoded(expect(service, 200, "GET", "/readyz"))
    _expect(answer == {"status": "ready"}, f"/readyz says {answer}")


def _adds(a: int, b: int) -> Check:
    def check(service: HttpClient) -> None:
        answer = expect(service, 200, "POST", "/sum", json.dumps({"a": a, "b": b}).encode())
        _expect(_decoded(answer) == {"sum": a + b}, f"{a} + {b} is {answer.body[:100]!r}")

    return check


def _refuses(
    status: int, body: bytes = SUM, answer_header: str | None = None, **headers: str | None
) -> Check:
    def check(service: HttpClient) -> None:
        answer = expect(service, status, "POST", "/sum", body, **headers)
        _expect(not answer_header or answer_header in answer.headers, f"{answer_header} is missing")

    return check


def _names_the_fault(service: HttpClient) -> None:
    problem = _decoded(expect(service, 422, "POST", "/sum", b'{"a": 2, "b": 0.5}'))
    expected = [{"pointer": "/b", "detail": problem["detail"]}]
    _expect(problem.get("errors") == expected, f"the errors are {problem.get('errors')}")


def _refuses_other_method(service: HttpClient) -> None:
    answer = expect(service, 405, "GET", "/sum")
    _expect(answer.headers.get("allow") == "POST", "Allow is not POST")


def _hides_the_rest(service: HttpClient) -> None:
    for path in ("/metrics", "/no/such/path"):
        expect(service, 404, "GET", path)


def _documents_itself(service: HttpClient) -> None:
    contract = _decoded(expect(service, 200, "GET", "/openapi.json"))
    _expect(contract and contract.get("openapi", "").startswith("3.1"), "not OpenAPI 3.1")
    page = expect(service, 200, "GET", "/docs").headers.get("content-type", "")
    _expect(page.startswith("text/html"), f"/docs is {page}")


def _protects_browsers(service: HttpClient) -> None:
    for status, path in ((200, "/healthz"), (404, "/no/such/path")):
        answer = expect(service, status, "GET", path)
        expected = {
            "x-request-id": _REQUEST_ID,
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        }
        for name, value in expected.items():
            _expect(answer.headers.get(name) == value, f"{name} of {path} is not {value}")
        server = answer.headers.get("server", "")
        _expect(not any(letter.isdigit() for letter in server), f"Server shows a version: {server}")
        hsts = "strict-transport-security" in answer.headers
        _expect(hsts or not service.https, f"{path} has no HSTS header")


def _limits(service: HttpClient) -> None:
    for _ in range(_BURST):
        answer = service.send("POST", "/sum", SUM, {"X-Api-Key": None})
        if answer.status == 429:
            _expect_problem(answer)
            expected = {"retry-after": "1", "ratelimit": '"default";r=0;t=1'}
            for name, value in expected.items():
                _expect(answer.headers.get(name) == value, f"{name} is not {value}")
            return
        _expect(answer.status == 401, f"a request without a key got {answer.status}")
    # No 429: this deployment has a higher limit.


CHECKS: Final[dict[str, Check]] = {
    "GET /healthz: alive": _lives,
    "GET /readyz: ready": _is_ready,
    "POST /sum: the sum": _adds(2, 40),
    "POST /sum: exact beyond 64 bits": _adds(2**63 - 1, 2**63 - 1),
    "no key: 401 with WWW-Authenticate": _refuses(
        401, X_Api_Key=None, answer_header="www-authenticate"
    ),
    "a wrong key: 403": _refuses(403, X_Api_Key="no-such-key"),
    "a body that is not JSON: 400": _refuses(400, b'{"a": 2, "b"'),
    "JSON that breaks the schema: 422": _names_the_fault,
    "a body over 1 KiB: 413": _refuses(413, b" " * 1025),
    "a body with a wrong media type: 415": _refuses(415, Content_Type="text/plain"),
    "a wrong method: 405 with Allow": _refuses_other_method,
    "GET /metrics and an unknown path: 404": _hides_the_rest,
    "the contract and the developer portal": _documents_itself,
    "headers of every response": _protects_browsers,
    "over the limit: 429 with Retry-After": _limits,
}
"""In order: the rate limit comes last because it would affect any check after it."""
