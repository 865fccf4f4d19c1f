"""Calls as AWS's own service models describe them.

botocore ships the models. They state which members a request must have, and the types, lengths,
ranges, patterns and enumerations of their values.
"""

import functools
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import regex
from botocore.exceptions import UnknownServiceError
from moto.core.model import OperationModel, Shape
from moto.core.parse import PROTOCOL_PARSERS, RequestParserError
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import SerializationContext, get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import NotFound

# The name in a signature's scope, where it is not the model's name.
_MODELS: Final = {"monitoring": "cloudwatch", "elasticloadbalancing": "elbv2", "aps": "amp"}

_SCOPE: Final = regex.compile(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request")

# Errors by which an operation refuses a value, in AWS's spelling.
_VALIDATION: Final = regex.compile(
    r"(WAF)?(Validation|InvalidParameter|InvalidParameterValue|InvalidInput)(Exception)?"
)


@dataclass(frozen=True)
class Call:
    """A request to AWS: an operation with its parameters."""

    service: str
    region: str
    operation: OperationModel
    protocol: str
    given: dict[str, Any]
    problem: "Refusal | None" = None

    @property
    def name(self) -> str:
        """The operation's name."""
        return str(self.operation.name)


@dataclass(frozen=True)
class Refusal:
    """AWS's answer to a call that it does not accept."""

    code: str
    message: str
    status: int | None = None
    """The HTTP status, if it is not the one in the service's model."""


def scope(authorization: str) -> tuple[str, str] | None:
    """Return the region and the model's name of a signed request."""
    found = _SCOPE.search(authorization)
    return (found[1], _MODELS.get(found[2], found[2])) if found else None


def parse(service: str, region: str, request: Request) -> Call | None:
    """Read a request; return nothing if no model has such an operation."""
    try:
        operation, labels = get_service_router(service).match(request)
    except (UnknownServiceError, NotFound, NotImplementedError):
        return None
    protocol = determine_request_protocol(operation.service_model, request.content_type)
    call = functools.partial(Call, service, region, operation, protocol)
    body = request.get_data()
    try:
        if protocol == "json":
            # The parser would convert types, although AWS refuses a string in place of a number.
            given = json.loads(body) if body else {}
        else:
            given = PROTOCOL_PARSERS[protocol](operation).parse(
                {
                    "method": request.method,
                    "values": request.values,
                    "headers": request.headers,
                    "body": body,
                    "url_path": request.path,
                    "url_params": labels,
                }
            )
    except (ValueError, TypeError, AttributeError, RequestParserError) as error:
        code = {"query": "MalformedInput", "ec2": "MalformedInput", "rest-xml": "MalformedXML"}
        refusal = Refusal(code.get(protocol, "SerializationException"), str(error))
        return call({}, refusal)
    return call(given)


def read_query(service: str, operation: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Read the parameters of a call in the query protocol, such as `Metrics.member.1.Id`."""
    parser = PROTOCOL_PARSERS["query"](get_service_model(service).operation_model(operation))
    given: dict[str, Any] = parser.parse({"values": MultiDict(values)})
    return given


# --- Validation -----------------------------------------------------------------------------------


def problems(call: Call) -> Iterator[tuple[str, str]]:
    """Yield the kind and the description of each difference from the model."""
    if call.operation.input_shape is not None:
        yield from _walk(call.operation.input_shape, call.given, "")


def _walk(shape: Shape, value: Any, path: str) -> Iterator[tuple[str, str]]:
    expected, check = _TYPES.get(shape.type_name, (object, _nothing))
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        if shape.type_name != "structure" or not shape.is_document_type:
            yield "type", f"Value {value!r} at '{path}' is not a {shape.type_name}"
        return
    yield from check(shape, value, path)


def _nothing(_shape: Shape, _value: Any, _path: str) -> Iterator[tuple[str, str]]:
    """Accept blobs and timestamps, whose format depends on the protocol."""
    return iter(())


def _structure(shape: Any, value: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if shape.is_document_type:
        return
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if value.get(name) is None:
            yield "missing", f"Value null at '{prefix}{name}': Member must not be null"
    if shape.is_tagged_union and len(value) != 1:
        yield "union", f"Value at '{path}': Exactly one member must be set"
    members = shape.members
    for name, one in value.items():
        member = members.get(name)
        if member is not None and one is not None:
            yield from _walk(member, one, prefix + name)


def _list(shape: Any, value: list[Any], path: str) -> Iterator[tuple[str, str]]:
    yield from _range(shape, len(value), value, path, "length")
    for number, one in enumerate(value, 1):
        yield from _walk(shape.member, one, f"{path}.{number}.member")


def _map(shape: Any, value: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    yield from _range(shape, len(value), value, path, "length")
    for key, one in value.items():
        yield from _walk(shape.key, key, f"{path}.key")
        if one is not None:
            yield from _walk(shape.value, one, f"{path}.{key}.value")


def _string(shape: Any, value: str, path: str) -> Iterator[tuple[str, str]]:
    yield from _range(shape, len(value), value, path, "length")
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield "enum", f"{_at(value, path)}: Member must satisfy enum value set: {allowed}"
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        yield "pattern", f"{_at(value, path)}: Member must satisfy regular expression: {pattern}"


def _number(shape: Any, value: float, path: str) -> Iterator[tuple[str, str]]:
    return _range(shape, value, value, path, "value")


def _range(shape: Any, size: float, value: Any, path: str, what: str) -> Iterator[tuple[str, str]]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < float(least):
        bound = f"Member must have {what} greater than or equal to {least}"
        yield "range", f"{_at(value, path)}: {bound}"
    if most is not None and size > float(most):
        yield "range", f"{_at(value, path)}: Member must have {what} less than or equal to {most}"


def _at(value: Any, path: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint"


_TYPES: Final[dict[str, tuple[Any, Callable[..., Iterator[tuple[str, str]]]]]] = {
    "structure": (dict, _structure),
    "list": (list, _list),
    "map": (dict, _map),
    "string": (str, _string),
    "character": (str, _string),
    "boolean": (bool, _nothing),
    **dict.fromkeys(("integer", "long", "byte", "short"), (int, _number)),
    **dict.fromkeys(("float", "double"), ((int, float), _number)),
}


# --- Patterns -------------------------------------------------------------------------------------


@functools.cache
def compiled(pattern: str) -> Any:
    """Return a model's pattern, which is Java's, or None if it has no translation."""
    try:
        return regex.compile(pattern)
    except regex.error:
        return None


@functools.lru_cache(4096)
def _matches(pattern: str, value: str) -> bool:
    known = compiled(pattern)
    return known is None or known.fullmatch(value, timeout=1) is not None


# --- Refusals -------------------------------------------------------------------------------------


def refusal(call: Call) -> Refusal | None:
    """Return why the model forbids a call, if it does, with the service's error code."""
    if call.problem is not None:
        return call.problem
    found = list(problems(call))
    if not found:
        return None
    kinds = {kind for kind, _ in found}
    text = "; ".join(description for _, description in found)
    plural = "errors" if len(found) > 1 else "error"
    return Refusal(_code(call, kinds), f"{len(found)} validation {plural} detected: {text}")


def _code(call: Call, kinds: set[str]) -> str:
    if call.protocol == "ec2":
        return "MissingParameter" if kinds == {"missing"} else "InvalidParameterValue"
    if kinds == {"type"}:
        return "SerializationException"
    if call.service == "s3":
        return "MalformedXML"
    declared = {
        one.name: str(one.error_code)
        for one in call.operation.error_shapes
        if _VALIDATION.fullmatch(one.name)
    }
    if "InvalidParameterException" in declared:
        return declared["InvalidParameterException"]
    if "query" in call.operation.service_model.metadata.get("protocols", ()):
        return "ValidationError"
    return next(iter(declared.values())) if len(declared) == 1 else "ValidationException"


def answer(call: Call, refused: Refusal, request_id: str) -> tuple[int, Mapping[str, str], bytes]:
    """Serialise a refusal as the service would."""
    error = type(refused.code, (Exception,), {"code": refused.code, "message": refused.message})
    serializer = get_serializer_class(call.service, call.protocol)
    with warnings.catch_warnings():
        # Few models list the codes that all operations of a service share.
        warnings.simplefilter("ignore")
        response = serializer(call.operation, SerializationContext(request_id)).serialize(error())
    body = response["body"]
    headers = {**response["headers"], "x-amzn-RequestId": request_id}
    status = refused.status or response["status_code"]
    return status, headers, body.encode() if isinstance(body, str) else body
