"""Refuses the calls that AWS refuses, before an emulator answers them."""

import io
import logging
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from ministack.core.responses import request_scope
from moto.core.request import Request

from zama_emulator import ACCOUNT, models, permissions, rules
from zama_emulator.patching import Original

Answer = tuple[int, list[tuple[str, str]], bytes]


@dataclass
class Counts:
    """The checks since the start."""

    calls: int = 0
    rules: int = 0
    permissions: int = 0
    """Actions on resources that roles and users needed."""
    refused: int = 0
    unknown: int = 0
    """Signed calls that no model describes."""
    seconds: float = 0
    """The CPU time of the checks."""


_log: Final = logging.getLogger(__name__)

counts: Final = Counts()


def refuse(request: Request) -> Answer | None:
    """Return AWS's answer to a call that it refuses, or nothing."""
    began = time.thread_time()
    answer = _refuse(request)
    counts.seconds += time.thread_time() - began
    return answer


def _refuse(request: Request) -> Answer | None:
    scope = models.scope(request.headers.get("Authorization", ""))
    if scope is None:
        return None
    region, service = scope
    call = models.parse(service, region, request)
    if call is None:
        counts.unknown += 1
        return None
    counts.calls += 1
    refusal = models.refusal(call) or _denied(call, request) or _broken_rule(call)
    if refusal is None:
        return None
    counts.refused += 1
    _log.warning("%s %s: %s: %s", service, call.name, refusal.code, refusal.message)
    status, headers, body = models.answer(call, refusal, str(uuid.uuid4()))
    return status, [*headers.items()], b"" if request.method == "HEAD" else body


def _denied(call: models.Call, request: Request) -> models.Refusal | None:
    try:
        judged, refusal = permissions.judge(call, request.headers)
    except Exception:  # noqa: BLE001 - a fault of this check refuses nothing
        _log.exception("The permissions of %s cannot be judged: %s", call.name, call.given)
        return None
    counts.permissions += judged
    return refusal


def _broken_rule(call: models.Call) -> models.Refusal | None:
    with request_scope(ACCOUNT, call.region):
        for rule in rules.rules_for(call.service, call.name):
            counts.rules += 1
            try:
                broken = rule.breaks(call.given)
            except Exception:  # noqa: BLE001 - a faulty rule refuses nothing
                _log.exception("The rule %s cannot judge %s", rule.name, call.given)
                continue
            if broken:
                return models.Refusal(rule.code, f"Rule: {rule.sentence} ({rule.source})")
    return None


# --- Servers --------------------------------------------------------------------------------------


def asgi_request(scope: dict[str, Any], body: bytes) -> Request:
    """Return a request that arrived at MiniStack's port, in moto's type."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    request = Request.from_primitives(
        scope["method"], f"http://{headers.get('host', 'localhost')}{path}?{query}", headers, body
    )
    request.environ["RAW_URI"] = f"{path}?{query}"
    return request


def wsgi(original: Original, moto: Any, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    """Answer a request that arrived at moto's port, unless AWS would refuse it."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    refused = refuse(Request(dict(environ)))
    environ["wsgi.input"] = io.BytesIO(body)
    if refused is None:
        answer: Iterable[bytes] = original(moto, environ, start)
        return answer
    status, headers, content = refused
    start(f"{status} Refused", headers)
    return [content]
