"""Calls that AWS refuses although its service models allow them.

Each rule is a function with a sentence, and returns whether a call breaks it. The modules of this
package hold the rules, by service.
"""

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

Given = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """A documented refusal beyond the models."""

    service: str
    operations: tuple[str, ...]
    code: str
    source: str
    breaks: Callable[[Given], Any]

    @property
    def name(self) -> str:
        """The service's model and the function."""
        return f"{self.service}.{self.breaks.__name__}"

    @property
    def sentence(self) -> str:
        """The rule itself, which is the function's docstring."""
        return " ".join((self.breaks.__doc__ or "").split())


_RULES: Final[defaultdict[tuple[str, str], list[Rule]]] = defaultdict(list)


def rule(
    service: str, operations: str, code: str, source: str
) -> Callable[[Callable[[Given], Any]], Callable[[Given], Any]]:
    """Add a function to the table, as a rule for these operations, separated by spaces.

    AWS's web pages are the sources; `source` lacks their `https://docs.aws.amazon.com/`.
    """

    def add(breaks: Callable[[Given], Any]) -> Callable[[Given], Any]:
        names = tuple(operations.split())
        full = source if source.startswith("http") else f"https://docs.aws.amazon.com/{source}"
        one = Rule(service, names, code, full, breaks)
        for name in names:
            _RULES[service, name].append(one)
        return breaks

    return add


def load() -> None:
    """Import all modules of rules."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)


def rules_for(service: str, operation: str) -> list[Rule]:
    return _RULES.get((service, operation), [])


def every_rule() -> list[Rule]:
    """Return each rule once, in the order of services."""
    seen = {id(one): one for found in _RULES.values() for one in found}
    return sorted(seen.values(), key=lambda one: (one.service, one.operations, one.name))
