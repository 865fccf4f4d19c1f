"""Policy simulation with ContextEntries, which MiniStack ignores.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from contextvars import ContextVar
from typing import Any, Final

from ministack.services import iam

from zama_emulator.patching import Original

# The running simulation's values, by lower-case key.
_given: Final[ContextVar[dict[str, Any]]] = ContextVar("given")


def with_entries(original: Original, parameters: dict[str, Any]) -> Any:
    """ContextEntries describe the request and override the emulator's own values."""
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
