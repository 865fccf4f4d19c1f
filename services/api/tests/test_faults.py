"""A 422 names every fault of a body, in the words of its caller."""

import re
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from in_process import assert_problem, run
from zama_api import faults

NOT_AN_INTEGER: Final = "must be an integer, not"
A_NUMBER: Final = "a number with a fraction or exponent."
TOO_LARGE: Final = "must be at most 9223372036854775807."
TOO_SMALL: Final = "must be at least -9223372036854775808."


def errors(body: bytes) -> list[tuple[str, str]]:
    """Post a body to /sum, and return the pointers and details of its 422."""
    with run() as service:
        response = service.sum(body)
        detail = assert_problem(response, 422)
        found = [(error["pointer"], error["detail"]) for error in response.json["errors"]]
        assert detail.startswith(found[0][1])
        assert (detail == found[0][1]) == (len(found) == 1)
        return found


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1.5", f"{NOT_AN_INTEGER} {A_NUMBER}"),
        ("2.0", f"{NOT_AN_INTEGER} {A_NUMBER}"),
        ("1e2", f"{NOT_AN_INTEGER} {A_NUMBER}"),
        ("1e400", f"{NOT_AN_INTEGER} {A_NUMBER}"),
        ("true", f"{NOT_AN_INTEGER} a boolean."),
        ('"2"', f"{NOT_AN_INTEGER} a string."),
        ("null", f"{NOT_AN_INTEGER} null."),
        ("[]", f"{NOT_AN_INTEGER} an array."),
        ("{}", f"{NOT_AN_INTEGER} an object."),
        ("9223372036854775808", TOO_LARGE),
        ("-9223372036854775809", TOO_SMALL),
        pytest.param("9" * 400, TOO_LARGE, id="400 digits"),
        pytest.param("-" + "9" * 400, TOO_SMALL, id="minus 400 digits"),
    ],
)
def test_a_wrong_member_is_named_with_the_reason(name: str, value: str, reason: str) -> None:
    """The pointer and the sentence name the member; detail is the same sentence."""
    members = {"a": "1", "b": "2", name: value}
    body = "{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}"

    assert errors(body.encode()) == [(f"/{name}", f"`{name}` {reason}")]


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        (b'{"b":40}', "/a", "`a` is missing."),
        (b'{"a":2}', "/b", "`b` is missing."),
        (b'{"a":2,"b":40,"c":1e400}', "/c", "`c` is not a known member."),
        (b"[2,40]", "", "The body must be an object, not an array."),
        (b'"2+40"', "", "The body must be an object, not a string."),
        (b"null", "", "The body must be an object, not null."),
        (b"42", "", "The body must be an object, not an integer."),
        (b"1e400", "", f"The body must be an object, not {A_NUMBER}"),
        (b"[" * 100 + b"]" * 100, "", "The body must be an object, not an array."),
    ],
)
def test_a_body_of_another_shape_gets_the_expected_shape(
    body: bytes, pointer: str, detail: str
) -> None:
    """The sentence names the missing or unknown member, or the type of the body."""
    assert errors(body) == [(pointer, detail)]


@pytest.mark.parametrize(
    ("body", "faults_"),
    [
        (b'{"a":1,"a":2,"b":3}', ["/a"]),
        (b'{"a":1,"b":3,"a":1}', ["/a"]),
        (b'{"a":1,"\\u0061":2,"b":3}', ["/a"]),
        (b'{"b":1,"a":2,"b":3,"a":4,"a":5}', ["/b", "/a"]),
        (b'{"a":"1","a":1,"b":2}', ["/a"]),
        (b'{"a":1,"b":2,"c":{"d":0,"d":0}}', ["/c/d", "/c"]),
        (b'{"a":1,"b":[0,{"x/y":0,"x/y":0}]}', ["/b/1/x~1y", "/b"]),
        (b'{"a":1,"a":2}', ["/a", "/b"]),
    ],
)
def test_a_repeated_member_is_refused(body: bytes, faults_: list[str]) -> None:
    """Some programs keep the first, others the last; it is named before other faults."""
    found = errors(body)
    assert [pointer for pointer, _ in found] == faults_
    assert found[0][1] == f"`{faults_[0][1:].replace('~1', '/')}` occurs more than once."


def test_the_deepest_body_is_searched_for_repeated_members() -> None:
    """No nesting makes the service fail."""
    assert errors(b"[" * 512 + b"]" * 512)[0][0] == ""


def test_a_colon_in_a_text_is_no_member() -> None:
    """The search for repeated members finds none in a body of other types."""
    body = b'{"itemList":[{"price":1},{"price":1}],"paid":true,"note":"a:b:\\"note\\":"}'
    assert faults.repeated(body) == []


def test_all_faults_are_reported_at_once() -> None:
    """A caller does not have to find them one by one."""
    assert errors(b'{"A":1,"b":true,"c":2}') == [
        ("/a", "`a` is missing."),
        ("/b", "`b` must be an integer, not a boolean."),
        ("/A", "`A` is not a known member."),
        ("/c", "`c` is not a known member."),
    ]


def test_the_number_of_faults_is_limited() -> None:
    """At most ten are listed; `detail` has their number."""
    with run() as service:

        def problem(members: int) -> Any:
            names = ",".join(f'"{number}":0' for number in range(members))
            return service.sum(f'{{"a":1,"b":2,{names}}}'.encode()).json

        ten, eleven = problem(10), problem(11)
    assert ten["detail"].endswith(" The body has 10 errors; `errors` lists them.")
    assert eleven["detail"].endswith(" The body has 11 errors; `errors` lists the first 10.")
    assert eleven["errors"] == ten["errors"]
    assert len(ten["errors"]) == 10


@pytest.mark.parametrize(
    ("name", "pointer", "shown"),
    [
        ("", "/", ""),
        ("x/y~z~1", "/x~1y~0z~01", "x/y~z~1"),
        ("größe", "/größe", "größe"),
        ("\0\n\x1b[2J\x7f", "/\0\n\x1b[2J\x7f", r"\u0000\n\u001b[2J\u007f"),
        ("\x9b2J\u2028\u202e", "/\x9b2J\u2028\u202e", r"\u009b2J\u2028\u202e"),
        ("x" * 65, "/" + "x" * 65, "x" * 64 + "..."),
    ],
)
def test_a_callers_name_is_harmless(name: str, pointer: str, shown: str) -> None:
    """The pointer is exact; the sentence has no control character and at most 64 of the name."""
    body = msgspec.json.encode({"a": 2, "b": 40, name: 0})

    assert errors(body) == [(pointer, f"`{shown}` is not a known member.")]


@given(st.text(max_size=300))
def test_a_response_is_printable_ascii(name: str) -> None:
    """No text of a caller acts on the terminal that shows the response."""
    with run() as service:
        body = msgspec.json.encode({name: 0})
        assert re.fullmatch(rb"[ -~]+", service.sum(body[:1024]).body)


# --- Other operations -----------------------------------------------------------------------------


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """A part of an order."""

    price: float


class Order(msgspec.Struct, rename="camel"):
    """A body with members inside members, and a type without words; unknown names are ignored."""

    item_list: list[Item]
    paid: bool
    note: str = ""
    discount: int | None = None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (
            b'{"paid":1,"itemList":[{"price":"5"},{},{"price":5,"size":1},7],"note":null,"x":1}',
            [
                ("/itemList/0/price", "`itemList/0/price` must be a number, not a string."),
                ("/itemList/1/price", "`itemList/1/price` is missing."),
                ("/itemList/2/size", "`itemList/2/size` is not a known member."),
                ("/itemList/3", "`itemList/3` must be an object, not an integer."),
                ("/paid", "`paid` must be a boolean, not an integer."),
                ("/note", "`note` must be a string, not null."),
            ],
        ),
        (b'{"itemList":{}}', [("/itemList", "`itemList` must be an array, not an object.")]),
        (
            b'{"itemList":[],"paid":true,"discount":"\\u001b"}',
            [("", "The body is not valid: Expected `int | null`, got `str` - at `$.discount`.")],
        ),
    ],
)
def test_the_words_come_from_an_operations_type(body: bytes, found: list[tuple[str, str]]) -> None:
    """Nested members have pointers; a type that has no words gets the decoder's."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=Order)

    decoded = msgspec.json.decode(body)
    problem = faults.explain(msgspec.inspect.type_info(Order), body, decoded, caught.value)

    assert list(problem.faults)[: len(found)] == found
