"""Policy simulation, which MiniStack does without what the caller says of the request.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from contextvars import ContextVar
from typing import Any, Final

from ministack.services import iam

from zama_emulator.patching import Original

# Values by their keys in lower case, while a simulation runs.
_given: Final[ContextVar[dict[str, Any]]] = ContextVar("given")


def with_entries(original: Original, parameters: dict[str, Any]) -> Any:
    """ContextEntries are what the request knows, and go before what the emulator knows."""
    token = _given.set(_entries(parameters))
    try:
        return original(parameters)
    finally:
        _given.reset(token)


def _entries(parameters: dict[str, Any]) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    number = 1
    while key := iam._p(parameters, f"ContextEntries.member.{number}.ContextKeyName"):
        values: list[str] = []
        member = f"ContextEntries.member.{number}.ContextKeyValues.member"
        while value := iam._p(parameters, f"{member}.{len(values) + 1}"):
            values.append(value)
        entries[key.lower()] = values if len(values) > 1 else values[0]
        number += 1
    return entries


def value(original: Original, key: str, context: Any) -> Any:
    given = _given.get({})
    return given[key.lower()] if key.lower() in given else original(key, context)
