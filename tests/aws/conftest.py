"""Deployments to emulated AWS accounts, each shared by the tests that need it."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from deployment import Deployment
from engine import Images
from readme import run_commands_for_aws
from terraform import FOLDERS, run_own_tests, terraform


def fixtures_of(item: pytest.Item) -> set[str]:
    """Return the names of all fixtures that a test needs, directly or not."""
    return set(getattr(item, "fixturenames", ()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: all need Terraform, those with a deployment an engine too."""
    ours = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in ours:
        item.add_marker(pytest.mark.needs("terraform"))
        item.add_marker(pytest.mark.timeout(600))
        if {"images", "deployment"} & fixtures_of(item):
            item.add_marker(pytest.mark.needs("docker"))
    # The deployments are shared, so who destroys them comes last, and before that the runbooks,
    # which change them; but before the other folders, whose measurements would suffer from their
    # load.
    if ours:
        first = items.index(ours[0])
        last = first + len(ours)
        items[first:last] = sorted(
            ours, key=lambda item: ("destroy" in item.name, "runbooks" in item.path.name)
        )


# --- What takes minutes and mostly waits: begun together, and waited for by who needs it ----------

TOGETHER: Final = ("readme_commands", "own_tests")


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Run things at the same time."""
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture(scope="session")
def readme_commands(
    pool: ThreadPoolExecutor, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Future[subprocess.CompletedProcess[str]]:
    """Begin the README's commands for AWS."""
    return pool.submit(run_commands_for_aws, images, tmp_path_factory.mktemp("readme"))


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return where each of Terraform's folders has its provider, without a backend."""
    places = {name: tmp_path_factory.mktemp(name) for name in FOLDERS}
    for name, data in places.items():
        done = terraform(FOLDERS[name], data, "init", "-backend=false", "-lockfile=readonly")
        assert done.returncode == 0, done.stderr
    return places


@pytest.fixture(scope="session")
def own_tests(pool: ThreadPoolExecutor, provider: dict[str, Path]) -> dict[str, Future[int]]:
    """Begin Terraform's own tests of each folder."""
    return {
        name: pool.submit(run_own_tests, FOLDERS[name], data) for name, data in provider.items()
    }


@pytest.fixture(scope="session")
def deployments(
    request: pytest.FixtureRequest,
    pool: ThreadPoolExecutor,
    bootstrapped: Future[Path],
    images: Images,
) -> Iterator[dict[str, Future[Deployment]]]:
    """Apply both profiles, each to an account of its own; and begin what else will be asked for."""
    del images
    wanted = {name for item in request.session.items for name in fixtures_of(item)}
    for name in TOGETHER:
        if name in wanted:
            request.getfixturevalue(name)
    saved = bootstrapped.result()
    with ExitStack() as stack:
        profiles = {
            name: Deployment.temporary(stack, name, saved) for name in ("minimal", "production")
        }
        yield {name: pool.submit(one.first_apply) for name, one in profiles.items()}


@pytest.fixture(scope="session")
def minimal(deployments: dict[str, Future[Deployment]]) -> Deployment:
    """Return the applied minimal profile."""
    return deployments["minimal"].result()


@pytest.fixture(scope="session")
def production(deployments: dict[str, Future[Deployment]]) -> Deployment:
    """Return the applied production profile."""
    return deployments["production"].result()


@pytest.fixture(params=["minimal", "production"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """Return each applied profile in turn."""
    applied: Deployment = request.getfixturevalue(request.param)
    return applied
