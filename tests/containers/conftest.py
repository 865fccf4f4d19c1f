"""The compose stack under test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from compose import ComposeStack
from engine import Images


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: all need an engine."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.needs("docker"))


@pytest.fixture
def stack(images: Images) -> Iterator[ComposeStack]:
    """Start pairs that live as long as the test."""
    with ComposeStack(images) as stack:
        yield stack


@pytest.fixture(scope="module")
def module_stack(images: Images) -> Iterator[ComposeStack]:
    """Start pairs that live as long as the module."""
    with ComposeStack(images) as stack:
        yield stack
