"""Deployments to emulated AWS accounts, each shared by the tests that need it."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from deployment import Deployment
from engine import Images


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: all need Terraform, those with a deployment an engine too."""
    ours = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in ours:
        item.add_marker(pytest.mark.needs("terraform"))
        item.add_marker(pytest.mark.timeout(600))
        if {"images", "deployment"} & set(getattr(item, "fixturenames", ())):
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


@pytest.fixture(scope="session")
def deployments(images: Images) -> Iterator[dict[str, Future[Deployment]]]:
    """Apply both profiles, each to an account of its own, at the same time: mostly they wait."""
    del images
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        profiles = {name: Deployment.temporary(stack, name) for name in ("minimal", "production")}
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
