"""Replacing functions of other packages."""

import functools
import json
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

Original = Callable[..., Any]


def replace(owner: ModuleType | type, name: str, replacement: Callable[..., Any]) -> None:
    """Have `owner.name` call `replacement`, whose first argument is the function that was there.

    Tables of the owner's, from an action's name to its function, are corrected as well.

    Raises:
        AttributeError: there is no such function in this release of the package.

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
    """Let no thread begin one of these functions while another thread is in one of them.

    Else one fails, where they share tables without a lock, over what another changes meanwhile.

    Raises:
        AttributeError: there is no such function in this release of the package.

    """
    # They call one another.
    lock = threading.RLock()

    def in_turn(original: Original, *arguments: Any, **named: Any) -> Any:
        with lock:
            return original(*arguments, **named)

    for name in names:
        replace(owner, name, in_turn)


def add(owner: type, name: str, method: Callable[..., Any]) -> None:
    """Give a class a method that it lacks.

    Raises:
        AttributeError: it has one, in this release of the package.

    """
    if hasattr(owner, name):
        raise AttributeError(f"{owner.__name__} has {name} by now: use it")
    setattr(owner, name, method)


def add_actions(
    service: ModuleType, actions: Mapping[str, Callable[[dict[str, Any]], Any]]
) -> None:
    """Give a service of MiniStack's that speaks JSON the actions that it lacks, by name.

    Raises:
        AttributeError: the service has no such entry in this release of the package.

    """

    async def with_actions(original: Original, *request: Any) -> Any:
        _, _, headers, body, _ = request
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if action in actions:
            return actions[action](json.loads(body))
        return await original(*request)

    replace(service, "handle_request", with_actions)
