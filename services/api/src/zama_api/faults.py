"""Everything that is wrong with a body, in the words of its caller."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from msgspec import inspect

from zama_api.problems import Fault, Problem

# The contract documents it as `maxItems`.
MAX_FAULTS: Final = 10

_NAME_CHARACTERS: Final = 64
_NAMES: Final = {
    bool: "a boolean",
    dict: "an object",
    float: "a number with a fraction or exponent",
    int: "an integer",
    list: "an array",
    str: "a string",
    type(None): "null",
}
"""The names of JSON's types, by the Python types that they are decoded to."""

_EXPECTED: Final[dict[type[inspect.Type], tuple[str, set[type]]]] = {
    inspect.BoolType: ("a boolean", {bool}),
    inspect.FloatType: ("a number", {float, int}),
    inspect.IntType: ("an integer", {int}),
    inspect.ListType: ("an array", {list}),
    inspect.StrType: ("a string", {str}),
    inspect.StructType: ("an object", {dict}),
}
"""The name of an expected type, and the Python types that fit."""


def explain(kind: inspect.Type, body: bytes, decoded: Any, error: Exception) -> Problem:
    """Return a 422 with every fault of a body.

    Arguments:
        kind: the type of the operation's parameter.
        body: the body, valid JSON.
        decoded: the body, decoded without a type.
        error: the typed decoder's error, for a fault of a type that `_EXPECTED` lacks.

    """
    otherwise = Fault("", _printable(f"The body is not valid: {error}."))
    return report([*repeated(body), *_find(kind, decoded, "")] or [otherwise])


def report(faults: list[Fault]) -> Problem:
    """Return a 422 with these faults."""
    detail = faults[0].detail
    if len(faults) > 1:
        listed = "them" if len(faults) <= MAX_FAULTS else f"the first {MAX_FAULTS}"
        detail += f" The body has {len(faults)} errors; `errors` lists {listed}."
    return Problem(422, detail, faults=faults[:MAX_FAULTS])


class _Members(list[tuple[str, Any]]):
    """The members of an object, including repeated ones."""


def repeated(body: bytes) -> list[Fault]:
    """Return a fault for each name that an object in a body has twice.

    Decoders keep the first or the last of them, so another program could read another body (RFC
    8259, section 4).
    """
    faults = []
    values = [("", json.loads(body.decode(), object_pairs_hook=_Members))]
    for pointer, value in values:
        if isinstance(value, _Members):
            counts = Counter(name for name, _ in value)
            places = [_join(pointer, name) for name, count in counts.items() if count > 1]
            faults += [Fault(place, f"{_name(place)} occurs more than once.") for place in places]
            values += [(_join(pointer, name), inner) for name, inner in value]
        elif isinstance(value, list):
            values += [(f"{pointer}/{index}", inner) for index, inner in enumerate(value)]
    return faults


def _find(kind: inspect.Type, value: Any, pointer: str) -> Iterator[Fault]:
    expected, fitting = _EXPECTED.get(type(kind), ("", {type(value)}))
    if type(value) not in fitting:
        given = _NAMES[type(value)]
        yield Fault(pointer, f"{_name(pointer)} must be {expected}, not {given}.")
    elif isinstance(kind, inspect.IntType | inspect.FloatType):
        if kind.ge is not None and value < kind.ge:
            yield Fault(pointer, f"{_name(pointer)} must be at least {kind.ge}.")
        if kind.le is not None and value > kind.le:
            yield Fault(pointer, f"{_name(pointer)} must be at most {kind.le}.")
    elif isinstance(kind, inspect.ListType):
        for index, item in enumerate(value):
            yield from _find(kind.item_type, item, f"{pointer}/{index}")
    elif isinstance(kind, inspect.StructType):
        yield from _find_in_members(kind, value, pointer)


def _find_in_members(
    kind: inspect.StructType, value: dict[str, Any], pointer: str
) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in kind.fields}
    for name, field in fields.items():
        place = _join(pointer, name)
        if name in value:
            yield from _find(field.type, value[name], place)
        elif field.required:
            yield Fault(place, f"{_name(place)} is missing.")
    if kind.forbid_unknown_fields:
        unknown = [_join(pointer, name) for name in value if name not in fields]
        yield from (Fault(place, f"{_name(place)} is not a known member.") for place in unknown)


def _join(pointer: str, name: str) -> str:
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"


def _name(pointer: str) -> str:
    if not pointer:
        return "The body"
    name = pointer[1:].replace("~1", "/").replace("~0", "~")
    if len(name) > _NAME_CHARACTERS:
        name = f"{name[:_NAME_CHARACTERS]}..."
    return f"`{_printable(name)}`"


def _printable(text: str) -> str:
    """Escape, as JSON does, the characters that could act on a terminal."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
