"""Replaces functions of other packages.

An AttributeError means that the installed version lacks a function to replace, or already has one
to add.
"""

import functools
import json
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

Original = Callable[..., Any]


def replace(owner: ModuleType | type, name: str, replacement: Callable[..., Any]) -> None:
    """Have `owner.name` call `replacement`, with the original function as the first argument.

    The owner's tables from action names to functions are corrected as well.
    """
    original: Original = getattr(owner, name)

    @functools.wraps(original)
    def replaced(*arguments: Any, **named: Any) -> Any:
        return replacement(original, *arguments, **named)

    setattr(owner, name, replaced)
    for table in list(vars(owner).values()):
        if isinstance(table, dict):
            table.update({key: replaced for key, value in table.items() if value is original})


def answer_in_turn(owner: ModuleType | type, *names: str) -> None:
    """Let only one thread at a time run any of these functions.

    They share tables without a lock, so one would fail if another changed a table.
    """
    # Reentrant, because they call one another.
    lock = threading.RLock()

    def in_turn(original: Original, *arguments: Any, **named: Any) -> Any:
        with lock:
            return original(*arguments, **named)

    for name in names:
        replace(owner, name, in_turn)


def add(owner: type, name: str, method: Callable[..., Any]) -> None:
    """Add a method that a class lacks."""
    if hasattr(owner, name):
        raise AttributeError(f"{owner.__name__} already has {name}: remove the correction")
    setattr(owner, name, method)


def add_actions(
    service: ModuleType, actions: Mapping[str, Callable[[dict[str, Any]], Any]]
) -> None:
    """Add missing actions, by name, to one of MiniStack's JSON services."""

    async def with_actions(original: Original, *request: Any) -> Any:
        _, _, headers, body, _ = request
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if action in actions:
            return actions[action](json.loads(body))
        return await original(*request)

    replace(service, "handle_request", with_actions)
