"""An operation's parameter is a struct."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from zama_api.operations import Addends, Sum, add, parameter_type


def takes_a_number(number: int) -> Sum:
    """Break the rule: an int is not a struct."""
    return Sum(number)


def takes_an_optional_struct(addends: Addends | None) -> Sum:
    """Break the rule: a union is not a class."""
    return add(addends or Addends(0, 0))


@pytest.mark.parametrize("operation", [takes_a_number, takes_an_optional_struct])
def test_an_operation_that_takes_no_struct_is_refused(
    operation: Callable[[Any], msgspec.Struct],
) -> None:
    """An invalid operation fails when the service starts, not when it is called."""
    with pytest.raises(TypeError, match=r"one msgspec\.Struct, not .*(int|None)"):
        parameter_type(operation)
