"""WAF's calls for the logging of a web ACL, which MiniStack lacks."""

from typing import Any, Final

from ministack.core.responses import error_response_json, json_response

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
