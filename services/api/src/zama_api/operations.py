"""The API's operations: a typed function for each, and an entry in `OPERATIONS`."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, get_type_hints

import msgspec

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Addends(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The two numbers to add."""

    a: Int64
    b: Int64


class Sum(msgspec.Struct, frozen=True):
    """The exact sum, which can need 65 bits."""

    sum: int


def add(addends: Addends) -> Sum:
    """Add two signed 64-bit integers; the result never wraps."""
    return Sum(addends.a + addends.b)


OPERATIONS: Final[Mapping[str, Callable[[Any], msgspec.Struct]]] = {
    "/sum": add,
}
"""Path to function. Each is served as `POST path` with its parameter's type as the JSON body."""


def parameter_type(operation: Callable[[Any], msgspec.Struct]) -> type[msgspec.Struct]:
    """Return the type of an operation's only parameter, from its annotations."""
    hints = get_type_hints(operation)
    del hints["return"]
    (parameter,) = hints.values()
    if not (isinstance(parameter, type) and issubclass(parameter, msgspec.Struct)):
        raise TypeError(f"an operation takes one msgspec.Struct, not {parameter}")
    return parameter
