"""The calls of WAF that MiniStack lacks."""

import json
from collections.abc import Callable
from typing import Any, Final

from ministack.core.responses import error_response_json, json_response
from ministack.services import waf

from zama_ops.emulator.patching import Original, replace

# By the web ACL's ARN.
_configurations: Final[dict[str, dict[str, Any]]] = {}


def correct() -> None:
    """Replace MiniStack's functions."""
    replace(waf, "handle_request", _with_logging)


async def _with_logging(original: Original, *request: Any) -> Any:
    """A web ACL has a logging configuration."""
    _, _, headers, body, _ = request
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    if action in _ACTIONS:
        return _ACTIONS[action](json.loads(body))
    return await original(*request)


def _put(given: dict[str, Any]) -> Any:
    configuration = given["LoggingConfiguration"]
    _configurations[configuration["ResourceArn"]] = configuration
    return json_response({"LoggingConfiguration": configuration})


def _get(given: dict[str, Any]) -> Any:
    configuration = _configurations.get(given["ResourceArn"])
    if configuration is None:
        return error_response_json("WAFNonexistentItemException", "There is none.", 400)
    return json_response({"LoggingConfiguration": configuration})


def _delete(given: dict[str, Any]) -> Any:
    _configurations.pop(given["ResourceArn"], None)
    return json_response({})


_ACTIONS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "PutLoggingConfiguration": _put,
    "GetLoggingConfiguration": _get,
    "DeleteLoggingConfiguration": _delete,
}
