"""WAF's calls for the logging of a web ACL, which MiniStack lacks, and the bodies of responses."""

from typing import Any, Final

from ministack.core.responses import error_response_json, json_response
from ministack.services import waf

from zama_emulator.patching import Original

# By the web ACL's ARN.
_configurations: Final[dict[str, dict[str, Any]]] = {}


def put(given: dict[str, Any]) -> Any:
    configuration = given["LoggingConfiguration"]
    _configurations[configuration["ResourceArn"]] = configuration
    return json_response({"LoggingConfiguration": configuration})


def get(given: dict[str, Any]) -> Any:
    configuration = _configurations.get(given["ResourceArn"])
    if configuration is None:
        return error_response_json("WAFNonexistentItemException", "Not found.", 400)
    return json_response({"LoggingConfiguration": configuration})


def delete(given: dict[str, Any]) -> Any:
    _configurations.pop(given["ResourceArn"], None)
    return json_response({})


def with_bodies(original: Original, given: dict[str, Any]) -> Any:
    """A web ACL's description has the bodies of its custom responses."""
    answer = original(given)
    for acl in waf._values_for_scope(waf._web_acls, given["Scope"]):
        if acl["Name"] == given["Name"]:
            acl["CustomResponseBodies"] = given.get("CustomResponseBodies") or {}
    return answer
