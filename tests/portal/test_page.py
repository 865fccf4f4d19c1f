"""The developer portal in a browser."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest

from stack import KEY, Pair, Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.needs("browser")

PHONE: Final = {"width": 375, "height": 667}
Open = Callable[..., "Page"]


@pytest.fixture
def visit(browser: "Browser", pair: Pair) -> Iterator[Open]:
    """Return a function that opens the portal.

    At the end, the console must have no error, and no other host may have been called. The
    browser's own notes on failed requests do not count.
    """
    asked: list[str] = []
    wrong: list[str] = []
    contexts = []

    def visit(url: str = pair.gateway.url, path: str = "/docs", **settings: Any) -> "Page":
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
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
        page.goto(f"{url}{path}")
        page.locator("#operations-sum-add").wait_for()
        return page

    yield visit
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith("data:")}
    for context in contexts:
        context.close()
    assert len(hosts) == 1
    assert wrong == []


def operation(page: "Page") -> "Locator":
    sum_ = page.locator("#operations-sum-add")
    sum_.locator(".opblock-summary-control").click()
    until_ready(sum_)
    return sum_


def until_ready(sum_: "Locator") -> None:
    """Wait for the example in the body; Swagger UI cannot send before that."""
    sum_.get_by_role("textbox", name="Body").filter(has_text='"b": 40').wait_for()


def execute(sum_: "Locator", status: int) -> str:
    """Send the request, and return the text of the response with this status."""
    sum_.locator(".execute").click()
    return answer(sum_, status)


def answer(sum_: "Locator", status: int) -> str:
    """Return the text of the displayed response with this status."""
    shown = sum_.locator(".live-responses-table")
    shown.locator(f'.response-col_status:text-is("{status}")').wait_for()
    text: str = shown.inner_text()
    return text


def test_a_sum_can_be_tried_with_a_key(visit: Open) -> None:
    """A key and a click give the sum, and the browser stores no key."""
    page = visit()
    sum_ = operation(page)
    page.get_by_label("API key").fill(KEY)
    assert '"sum": 42' in execute(sum_, 200)
    stored = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert KEY not in stored


def test_no_digit_is_lost(visit: Open) -> None:
    """The largest addends and their 65-bit sum are shown exactly."""
    page = visit()
    page.get_by_label("API key").fill(KEY)
    sum_ = operation(page)
    sum_.get_by_label("Example").first.select_option("largest")
    assert sum_.get_by_role("textbox", name="Body").input_value().count("9223372036854775807") == 2
    assert '"sum": 18446744073709551614' in execute(sum_, 200)


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("wrong", 403)])
def test_a_refusal_is_shown(visit: Open, key: str | None, status: int) -> None:
    """Without a valid key, the page shows the problem."""
    page = visit()
    if key:
        page.get_by_label("API key").fill(key)
    assert '"type": "/docs#' in execute(operation(page), status)


def test_a_removed_key_is_not_sent(visit: Open) -> None:
    """Emptying the field removes the key."""
    page = visit()
    sum_ = operation(page)
    page.get_by_label("API key").fill(KEY)
    execute(sum_, 200)
    page.get_by_label("API key").fill("")
    execute(sum_, 401)


def test_the_limit_is_shown(visit: Open, stack: Stack) -> None:
    """Over the limit, the page shows the 429 and the time to wait."""
    limited = stack.start(RATE_LIMIT="1", RATE_BURST="1")
    page = visit(limited.gateway.url)
    page.get_by_label("API key").fill(KEY)
    sum_ = operation(page)
    for _ in range(20):
        with page.expect_response("**/sum") as response:
            sum_.locator(".execute").click()
        if response.value.status == 429:
            break
    shown = answer(sum_, 429)
    assert "retry-after: 1" in shown
    assert '"title": "Too Many Requests"' in shown


def test_a_problem_type_links_to_its_explanation(visit: Open) -> None:
    """The entry is visible, even after the contract above it has been rendered."""
    page = visit(path="/docs#forbidden")
    page.wait_for_function(
        "() => { const at = document.querySelector('#forbidden').getBoundingClientRect();"
        " return at.top >= 0 && at.bottom <= innerHeight }"
    )


def test_the_keyboard_is_enough(visit: Open) -> None:
    """Tab, Space and Enter lead from the key's field to the response."""
    page = visit()
    page.get_by_label("API key").focus()
    page.keyboard.type(KEY)
    sum_ = page.locator("#operations-sum-add")

    def tab_to(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("(at) => document.activeElement.matches(at)", selector):
                return
        pytest.fail(f"Tab does not reach {selector}")

    tab_to("#operations-sum-add .opblock-summary-control")
    page.keyboard.press("Enter")
    until_ready(sum_)
    tab_to("#operations-sum-add .execute")
    page.keyboard.press("Enter")
    assert '"sum": 42' in answer(sum_, 200)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [PHONE, {"width": 1280, "height": 800}], ids=["phone", "desk"])
def test_the_page_is_accessible(visit: Open, scheme: str, screen: dict[str, int]) -> None:
    """Axe finds no serious issue with everything open, and nothing overflows."""
    # Imported here, as in conftest.py.
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    page = visit(color_scheme=scheme, viewport=screen)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    page.get_by_label("API key").fill(KEY)
    sum_ = operation(page)
    execute(sum_, 200)
    page.locator("#operations-health-getReadyz .opblock-summary-control").click()
    found = [
        (finding["id"], finding["impact"], [node["html"] for node in finding["nodes"]])
        for finding in Axe().run(page).response["violations"]
        if finding["impact"] in {"serious", "critical"}
    ]
    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth") <= screen["width"]


def test_the_colours_follow_the_system(visit: Open) -> None:
    """They change even while the page is open."""
    page = visit(color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) != light
    page.locator("html.dark-mode").wait_for()
