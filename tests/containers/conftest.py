"""The compose stack under test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from compose import ComposeStack
from engine import Images


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: all need Docker."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.needs("docker"))


def _stack(images: Images) -> Iterator[ComposeStack]:
    """Start pairs that run until the test or its module ends."""
    with ComposeStack(images) as stack:
        yield stack


stack = pytest.fixture(_stack)
module_stack = pytest.fixture(scope="module")(_stack)
