"""Each operation is exact, and its parameter's type is found from its annotations."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zama_api.operations import Addends, Sum, add, parameter_type

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (2, 40, 42),
        (0, 0, 0),
        (-1, 1, 0),
        (INT64_MAX, 1, 9223372036854775808),
        (INT64_MAX, INT64_MAX, 18446744073709551614),
        (INT64_MIN, INT64_MIN, -18446744073709551616),
        (INT64_MIN, INT64_MAX, -1),
    ],
)
def test_a_sum_is_exact(a: int, b: int, expected: int) -> None:
    """A sum that needs 65 bits gets them."""
    assert add(Addends(a, b)) == Sum(expected)


@given(a=st.integers(INT64_MIN, INT64_MAX), b=st.integers(INT64_MIN, INT64_MAX))
def test_a_sum_less_one_addend_is_the_other(a: int, b: int) -> None:
    """Addition never wraps: it can be undone."""
    total = add(Addends(a, b)).sum

    assert total - a == b
    assert total - b == a


def test_the_parameter_type_is_the_annotated_one() -> None:
    """A new operation needs nothing but its annotations."""

    def negate(number: Addends) -> Sum:
        return Sum(-number.a)

    assert parameter_type(negate) is Addends


def takes_a_number(number: int) -> Sum:
    """Break the rule: an int is no struct."""
    return Sum(number)


def takes_nothing_too(addends: Addends | None) -> Sum:
    """Break the rule: a union is not even a class."""
    return add(addends or Addends(0, 0))


@pytest.mark.parametrize("operation", [takes_a_number, takes_nothing_too])
def test_an_operation_that_takes_no_struct_is_refused(
    operation: Callable[[Any], msgspec.Struct],
) -> None:
    """Whoever adds an operation with another parameter is told at the start, not by callers."""
    with pytest.raises(TypeError, match=r"one msgspec\.Struct, not .*(int|None)"):
        parameter_type(operation)
