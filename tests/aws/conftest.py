"""Deployments to emulated AWS accounts, each shared by the tests that use it."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from deployment import Deployment
from engine import Images
from terraform import FOLDERS, terraform
from zama_ops.emulated_account import temporary_account
from zama_ops.terraform import Profile


def fixtures_of(item: pytest.Item) -> set[str]:
    """Return the names of all fixtures that a test uses, directly or indirectly."""
    return set(getattr(item, "fixturenames", ()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: all need Terraform, those with a deployment also Docker."""
    ours = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in ours:
        item.add_marker(pytest.mark.needs("terraform"))
        item.add_marker(pytest.mark.timeout(1200))
        if {"images", "deployment"} & fixtures_of(item):
            item.add_marker(pytest.mark.needs("docker"))
    # The deployments are shared. The tests of their first minutes come first, then the drills,
    # whose alarms look back for an hour. Last are the runbooks' tests, then the tests that
    # change the keys or every variable, or destroy the deployment.
    if ours:
        first = items.index(ours[0])
        last = first + len(ours)
        items[first:last] = sorted(
            ours,
            key=lambda item: (
                # Its tests take longest.
                "[production" not in item.name,
                "ten_minutes" not in item.name,
                "destroy" in item.name,
                "changes_each_variable" in item.name,
                "blue_green" in item.path.name,
                "runbooks" in item.path.name,
                "drills" not in item.path.name,
            ),
        )


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Initialise each Terraform folder without a backend, and return their data directories."""
    places = {name: tmp_path_factory.mktemp(name) for name in FOLDERS}
    for name, data in places.items():
        done = terraform(FOLDERS[name], data, "init", "-backend=false", "-lockfile=readonly")
        assert done.returncode == 0, done.stderr
    return places


def deployed(profile: Profile) -> Callable[..., Iterator[Deployment]]:
    """Return a fixture that applies a profile to a separate account, with the deploy role."""

    @pytest.fixture(scope="session", name=profile)
    def apply(bootstrapped: Future[Path], images: Images) -> Iterator[Deployment]:
        del images
        with temporary_account(bootstrapped.result(), as_workflow=True) as account:
            applied = Deployment(account, profile).first_apply()
            # Many waits are minutes of AWS.
            applied.set_speed(10)
            yield applied

    return apply


minimal = deployed("minimal")
production = deployed("production")


@pytest.fixture(params=["minimal", "production"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    applied: Deployment = request.getfixturevalue(request.param)
    return applied
