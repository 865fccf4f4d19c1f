"""An account that the tests share."""

import pytest
from empty_account import empty_account
from world import World, build


@pytest.fixture(scope="session")
def world() -> World:
    return build(empty_account())
