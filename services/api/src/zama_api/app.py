"""The WSGI application: the whole request path through the API (PEP 3333)."""

import hmac
import random
import re
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from time import perf_counter_ns
from typing import Any, Final, NamedTuple
from wsgiref.types import StartResponse, WSGIEnvironment

import msgspec

from zama_api import faults, metrics, problems
from zama_api.config import Settings
from zama_api.health import Health
from zama_api.journal import Journal
from zama_api.logs import Log, Request
from zama_api.metrics import Metrics
from zama_api.operations import OPERATIONS, parameter_type
from zama_api.problems import Header, Problem

MAX_BODY_BYTES: Final = 1024

_JSON: Final[Header] = ("content-type", "application/json")
_METRICS: Final[Header] = ("content-type", metrics.CONTENT_TYPE)
_STATUS_LINES: Final = {
    status: f"{status} {title}" for status, title in {200: "OK", **problems.TITLES}.items()
}
_LOGGED_CHARACTERS: Final = 256

_is_request_id: Final = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch
_is_json_media_type: Final = re.compile(
    r"application/([a-z0-9!#$&^_.+-]+\+)?json[ \t]*(;.*)?", re.IGNORECASE
).fullmatch
_encode: Final = msgspec.json.Encoder().encode
# With this hook numbers of any size pass, as RFC 8259 allows.
_decode_any_json: Final = msgspec.json.Decoder(float_hook=float).decode


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A response, without the headers that every response has."""

    status: int
    headers: tuple[Header, ...]
    body: bytes


class Route(NamedTuple):
    """A known path: its methods, its function, and whether it is public."""

    methods: tuple[str, ...]
    answer: Callable[[WSGIEnvironment], Answer]
    public: bool


class Application:
    """Answers requests.

    Arguments:
        settings: the valid keys, if any are required, and the public URL.
        health: the state that the health routes return.
        log: receives exceptions.
        metrics: shown at `/metrics`.
        journal: receives each finished request.

    """

    def __init__(
        self, settings: Settings, health: Health, log: Log, metrics: Metrics, journal: Journal
    ) -> None:
        self._keys = [key.encode() for key in settings.api_keys] if settings.require_api_key else []
        self._version = settings.version
        self._public_url = settings.public_url
        self._health = health
        self._log = log
        self._metrics = metrics
        self._journal = journal
        self._routes = {
            "/healthz": Route(("GET", "HEAD"), self._healthz, public=True),
            "/readyz": Route(("GET", "HEAD"), self._readyz, public=True),
            "/metrics": Route(("GET", "HEAD"), self._show_metrics, public=True),
        }
        for path, operation in OPERATIONS.items():
            type_ = parameter_type(operation)
            decode = msgspec.json.Decoder(type_).decode
            kind = msgspec.inspect.type_info(type_)
            required = sum(field.required for field in msgspec.structs.fields(type_))
            answer = partial(_operate, decode, operation, kind, required)
            self._routes[path] = Route(("POST",), answer, public=False)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        began = perf_counter_ns()
        in_progress = self._metrics.in_progress
        in_progress.append(None)

        request_id = environ.get("HTTP_X_REQUEST_ID", "")
        if not _is_request_id(request_id):
            # Ids must differ but need not be secret, so this saves a system call.
            request_id = random.randbytes(16).hex()  # noqa: S311 - not a secret
        path = environ["PATH_INFO"]
        route = self._routes.get(path)
        try:
            answer = self._answer(route, environ)
        except Problem as problem:
            answer = self._explain(problem, request_id)
        except Exception:  # noqa: BLE001 - an operation's error must not kill the thread
            self._log.event(
                "error", "exception", request_id=request_id, traceback=traceback.format_exc()
            )
            answer = self._explain(
                Problem(
                    500,
                    "The service failed unexpectedly. Report it with this request_id.",
                ),
                request_id,
            )

        headers = [*answer.headers, ("x-request-id", request_id)]
        if self._health.draining:
            # Callers with open connections leave before the listener closes.
            headers.append(("connection", "close"))
        start_response(_STATUS_LINES[answer.status], headers)

        trace = environ.get("HTTP_X_AMZN_TRACE_ID") or environ.get("HTTP_TRACEPARENT", "")
        method = environ["REQUEST_METHOD"]
        self._journal.add(
            Request(
                time=datetime.now(UTC),
                level="error" if answer.status == 500 else "info",
                service="api",
                event="request",
                request_id=request_id,
                method=method[:_LOGGED_CHARACTERS],
                path=path[:_LOGGED_CHARACTERS],
                route="other" if route is None else path,
                status=answer.status,
                duration_ms=(perf_counter_ns() - began) // 1000 / 1000,
                client=environ.get("HTTP_X_API_CLIENT", "")[:_LOGGED_CHARACTERS],
                remote_addr=environ.get("REMOTE_ADDR", ""),
                bytes_sent=0 if method == "HEAD" else len(answer.body),
                trace=trace[:_LOGGED_CHARACTERS],
            )
        )
        in_progress.pop()
        return [answer.body]

    def _answer(self, route: Route | None, environ: WSGIEnvironment) -> Answer:
        if "zama.problem" in environ:
            # The server cannot read the request.
            raise environ["zama.problem"]
        if self._keys and not (route and route.public):
            self._check_key(environ)
        if route is None:
            raise Problem(404, "This path does not exist. See /docs for the available paths.")
        if environ["REQUEST_METHOD"] not in route.methods:
            allow = ", ".join(route.methods)
            raise Problem(
                405,
                f"This path supports only {allow}.",
                (("allow", allow),),
            )
        return route.answer(environ)

    def _explain(self, problem: Problem, request_id: str) -> Answer:
        headers = (problems.CONTENT_TYPE, *problem.headers)
        return Answer(problem.status, headers, problem.body(request_id, self._public_url))

    def _check_key(self, environ: WSGIEnvironment) -> None:
        given = environ.get("HTTP_X_API_KEY", "").encode()
        if not given:
            raise Problem(
                401,
                "This path needs an API key: send it in the header X-Api-Key.",
                (("www-authenticate", 'ApiKey header="X-Api-Key"'),),
            )
        # Compare every key completely, so that the time reveals nothing.
        matches = [hmac.compare_digest(given, key) for key in self._keys]
        if not any(matches):
            raise Problem(403, "This API key is not valid.")

    def _healthz(self, _environ: WSGIEnvironment) -> Answer:
        alive = {
            "status": "ok",
            "uptime_seconds": self._health.uptime_seconds,
            "version": self._version,
        }
        return Answer(200, (_JSON,), _encode(alive))

    def _readyz(self, _environ: WSGIEnvironment) -> Answer:
        reason = self._health.unready_because
        if reason is not None:
            raise Problem(503, reason, (("retry-after", "1"),))
        return Answer(200, (_JSON,), b'{"status":"ready"}')

    def _show_metrics(self, _environ: WSGIEnvironment) -> Answer:
        self._journal.flush()
        return Answer(200, (_METRICS,), self._metrics.render())


def _operate(
    decode: Callable[[bytes], Any],
    operation: Callable[[Any], msgspec.Struct],
    kind: msgspec.inspect.Type,
    required: int,
    environ: WSGIEnvironment,
) -> Answer:
    body = _read_body(environ)
    try:
        parameter = decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _decoding_problem(kind, body, error) from None
    # With no more colons than required members, there is no member twice.
    if body.count(b":") != required and (repeated := faults.repeated(body)):
        raise faults.report(repeated)
    return Answer(200, (_JSON,), _encode(operation(parameter)))


def _read_body(environ: WSGIEnvironment) -> bytes:
    media_type = environ.get("CONTENT_TYPE", "")
    if media_type != "application/json" and not _is_json_media_type(media_type):
        raise Problem(
            415,
            "The body must be JSON: send the header Content-Type: application/json.",
        )
    body: bytes = environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise Problem(413, f"The body is over {MAX_BODY_BYTES} bytes.")
    return body


def _decoding_problem(kind: msgspec.inspect.Type, body: bytes, error: Exception) -> Problem:
    """Return 400 for a body that is not JSON, and 422 for JSON that breaks the schema.

    The typed decoder stops at the first error of either kind, so the rest may not be JSON.
    """
    try:
        decoded = _decode_any_json(body)
    except UnicodeDecodeError:
        return Problem(400, "The body is not valid JSON: it is not UTF-8.")
    except RecursionError:
        return Problem(400, "The body is not valid JSON: it is nested too deeply.")
    except msgspec.DecodeError as malformed:
        return Problem(400, f"The body is not valid JSON. {malformed}.")
    return faults.explain(kind, body, decoded, error)
