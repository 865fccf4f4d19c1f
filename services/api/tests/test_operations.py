"""An operation's parameter is a struct."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from zama_api.operations import Addends, Sum, add, parameter_type


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
