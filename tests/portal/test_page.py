"""The developer portal in a browser."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import pytest

from stack import KEY, Pair, Stack
from zama_ops.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

pytestmark = pytest.mark.needs("browser")

Open = Callable[..., "Page"]
SCREENS: Final = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
# The samples in the pictures have this address.
DOCUMENTED: Final = "http://localhost:8081"
# Git ignores this folder; `make screenshots` copies the pictures from here to docs.
PICTURES: Final = ROOT / "build" / "portal"


def operation(page: "Page") -> "Locator":
    return page.locator("section.operation", has_text="/sum")


def response(page: "Page") -> "Locator":
    return operation(page).locator(".panel").nth(1)


def sample(page: "Page") -> str:
    text: str = operation(page).get_by_role("tabpanel").inner_text()
    return text


def fill(page: "Page", **fields: str) -> None:
    for name, text in fields.items():
        label = "API key" if name == "key" else name
        operation(page).get_by_label(label, exact=True).fill(text)


def send(page: "Page", status: int) -> str:
    """Send the request, and return the panel of the response, which must have this status."""
    operation(page).get_by_role("button", name="Send request").click()
    return answer(page, status)


def answer(page: "Page", status: int) -> str:
    response(page).get_by_role("status").filter(has_text=str(status)).wait_for()
    text: str = response(page).inner_text()
    return text


def test_a_sum_can_be_tried_with_a_key(visit: Open) -> None:
    """A key and a click give the sum and its time, and the browser stores no key."""
    page = visit()
    fill(page, key=KEY)
    text = send(page, 200)
    assert '"sum": 42' in text
    assert " ms" in text
    stored = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert KEY not in stored + page.url


def test_no_digit_is_lost(visit: Open) -> None:
    """The largest and smallest addends and their 65-bit sums are exact on the whole page."""
    page = visit()
    fill(page, key=KEY)
    operation(page).get_by_role("button", name="largest").click()
    assert sample(page).count("9223372036854775807") == 2
    assert '"sum": 18446744073709551614' in send(page, 200)
    fill(page, a="-9223372036854775808", b="-9223372036854775808")
    assert sample(page).count("-9223372036854775808") == 2
    operation(page).get_by_role("button", name="Send request").click()
    response(page).get_by_text("-18446744073709551616").wait_for()


@pytest.mark.parametrize("language", ["curl", "Python", "JavaScript", "TypeScript", "Go"])
def test_a_sample_has_the_typed_values(visit: Open, language: str) -> None:
    """The request appears in each language while the reader types."""
    page = visit()
    operation(page).get_by_role("tab", name=language, exact=True).click()
    assert "YOUR_KEY" in sample(page)
    fill(page, key="typed-key", a="123", b="-4")
    assert "typed-key" in sample(page)
    assert "YOUR_KEY" not in sample(page)
    assert '{"a": 123, "b": -4}' in sample(page)


def test_a_sample_and_the_request_id_can_be_copied(visit: Open) -> None:
    """The clipboard gets the sample as shown, and the id that the response has."""
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    fill(page, key=KEY)
    operation(page).get_by_role("button", name="Copy request").click()
    operation(page).get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == sample(page)
    with page.expect_response("**/sum") as sent:
        send(page, 200)
    response(page).get_by_role("button", name="Copy request id").click()
    response(page).get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == sent.value.headers["x-request-id"]


@pytest.mark.parametrize(("key", "status"), [("", 401), ("wrong", 403)])
def test_a_refusal_is_shown(visit: Open, key: str, status: int) -> None:
    """Without a valid key, the page shows the problem and leads to its explanation."""
    page = visit()
    fill(page, key=key)
    assert '"type": "/docs#' in send(page, status)
    response(page).get_by_role("link", name="What to do").click()
    assert page.locator("#problems section:target h3").inner_text().startswith(str(status))


def test_a_removed_key_is_not_sent(visit: Open) -> None:
    """Emptying the field removes the key."""
    page = visit()
    fill(page, key=KEY)
    send(page, 200)
    fill(page, key="")
    send(page, 401)


def test_a_faulty_member_is_named_at_its_field(visit: Open) -> None:
    """Each error's pointer selects the field, and typing again removes the message."""
    page = visit()
    fill(page, key=KEY, a="two")
    send(page, 422)
    field = operation(page).locator(".field", has=page.get_by_label("a", exact=True))
    assert field.get_by_text("`a` must be an integer, not a string.").is_visible()
    assert field.get_by_role("textbox").get_attribute("aria-invalid") == "true"
    fill(page, a="2")
    assert not field.get_by_text("must be an integer").count()


def test_the_api_judges_the_fields(visit: Open) -> None:
    """An empty field is left out, and other text is sent as it is, so that refusals can be seen."""
    page = visit()
    fill(page, key=KEY, a="")
    assert '{"b": 40}' in sample(page)
    send(page, 422)
    fill(page, a="1.50")
    assert '{"a": 1.50, "b": 40}' in sample(page)


def test_the_limit_is_shown(visit: Open, stack: Stack) -> None:
    """Over the limit, the page shows the 429 and the headers that the contract names for it."""
    limited = stack.start(RATE_LIMIT="1", RATE_BURST="1")
    page = visit(limited.gateway.url)
    fill(page, key=KEY)
    for _ in range(20):
        with page.expect_response("**/sum") as sent:
            operation(page).get_by_role("button", name="Send request").click()
        if sent.value.status == 429:
            break
    shown = answer(page, 429).replace("\n", " ")
    assert "retry-after 1 " in shown
    assert 'ratelimit-policy "default";q=1;w=1' in shown
    assert '"title": "Too Many Requests"' in shown


def test_a_problem_type_links_to_its_explanation(visit: Open) -> None:
    """The entry is visible, even after the operations above it have been rendered."""
    page = visit(path="/docs#forbidden")
    page.wait_for_function(
        "() => { const at = document.querySelector('#forbidden').getBoundingClientRect();"
        " return at.top >= 0 && at.bottom <= innerHeight }"
    )


def test_the_menu_lists_sections_operations_and_problems(visit: Open) -> None:
    """HEAD operations are hidden, and error examples are collapsed."""
    page = visit()
    menu = page.get_by_role("navigation")
    for name in ("Limits", "POST Add two integers", "404 Not Found"):
        assert menu.get_by_role("link", name=name).is_visible()
    assert not page.get_by_text("HEAD", exact=True).count()
    refused = operation(page).locator("details", has_text="An invalid API key")
    assert not refused.get_by_text("a4ee4beea563b387ede64ab9de54133f").is_visible()
    refused.locator("summary").click()
    assert refused.get_by_text("a4ee4beea563b387ede64ab9de54133f").is_visible()


def test_a_phone_has_a_menu_button(visit: Open) -> None:
    """The menu is closed at first, opens over the page, and closes at a link."""
    page = visit(viewport=SCREENS["phone"])
    menu = page.locator("#menu")
    assert not menu.is_visible()
    page.get_by_role("button", name="Menu").click()
    assert menu.is_visible()
    menu.get_by_role("link", name="Limits").click()
    assert not menu.is_visible()
    assert page.locator("#limits h2").is_visible()


def test_a_new_operation_needs_no_new_page(visit: Open) -> None:
    """An operation of the contract gets its form, samples and reference from its schemas."""
    contract: dict[str, Any] = json.loads(
        (ROOT / "services" / "nginx" / "docs" / "openapi.json").read_text()
    )
    text = {"type": "string"}
    contract["paths"]["/shelves/{shelf}"] = {
        "put": {
            "operationId": "label",
            "summary": "Label a shelf",
            "security": [],
            "parameters": [
                {"name": "shelf", "in": "path", "required": True, "schema": text},
                {"name": "dry", "in": "query", "schema": {"type": "boolean"}},
            ],
            "requestBody": {
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "properties": {
                                "title": {**text, "description": "On the `front`."},
                                "tags": {"type": "array", "items": text},
                            },
                        },
                    }
                }
            },
            "responses": {"204": {"description": "Labelled"}},
        }
    }
    page = visit(
        prepare=lambda page: page.route("**/openapi.json", lambda r: r.fulfill(json=contract))
    )
    page.get_by_role("navigation").get_by_role("link", name="PUT Label a shelf").click()
    new = page.locator("#label")
    assert not new.get_by_label("API key").count()
    new.get_by_label("shelf").fill("a/b")
    new.get_by_label("title").fill('12" tall')
    new.get_by_label("tags").fill('["x"]')
    new.get_by_text("More parameters").click()
    new.get_by_label("dry").fill("true")
    shown = new.get_by_role("tabpanel").inner_text()
    assert "-X PUT" in shown
    assert "/shelves/a%2Fb?dry=true" in shown
    assert r"""-d '{"title": "12\" tall", "tags": ["x"]}'""" in shown
    assert new.get_by_text("array of string").is_visible()


def test_the_keyboard_is_enough(visit: Open) -> None:
    """Tab, arrows and Enter lead from the top of the page to a response and another language."""
    page = visit()

    def tab_to(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("(at) => document.activeElement.matches(at)", selector):
                return
        pytest.fail(f"Tab does not reach {selector}")

    tab_to("[href='#content']")
    page.keyboard.press("Enter")
    tab_to("input.key")
    page.keyboard.type(KEY)
    tab_to(".send")
    page.keyboard.press("Enter")
    assert '"sum": 42' in answer(page, 200)
    tab_to("[role=tab]")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert "const response" in sample(page)
    tab_to("[role=tabpanel]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_looks_right(visit: Open, pair: Pair, screen: str, scheme: str) -> None:
    """Axe finds nothing even with everything open, and no text is covered, cut off or too wide.

    The pictures of the first screen are in `build/portal`.
    """
    # Imported here, as in conftest.py.
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    def forward(route: "Route") -> None:
        url = route.request.url.replace(DOCUMENTED, pair.gateway.url)
        route.fulfill(response=route.fetch(url=url))

    page = visit(
        DOCUMENTED,
        prepare=lambda page: page.route(f"{DOCUMENTED}/**", forward),
        color_scheme=scheme,
        viewport=SCREENS[screen],
        device_scale_factor=2 if screen == "phone" else 1,
    )
    fill(page, key=KEY)
    send(page, 200)
    page.evaluate("document.activeElement.blur()")
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"portal-{screen}-{scheme}.png")

    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    assert page.evaluate(UNREADABLE) == []
    assert len(page.evaluate(TYPEFACES)) == 2


TYPEFACES: Final = """
    () => [...new Set(Array.from(document.querySelectorAll("body, body *"),
        (one) => getComputedStyle(one).fontFamily))]
"""
"""The typefaces: one for text, one for code."""

UNREADABLE: Final = """
    () => {
      const wide = Array.from(document.querySelectorAll("body, body *:not(input)")).filter(
        (one) => one.clientWidth && one.scrollWidth > one.clientWidth + 1);
      const texts = document.querySelectorAll(
        "main :is(h1, h2, h3, p, label, button, summary, dt, dd)");
      const covered = Array.from(texts).filter((one) => {
        if (!one.checkVisibility() || !one.textContent) return false;
        one.scrollIntoView({ block: "center" });
        const { left, top, width, height } = one.getBoundingClientRect();
        const at = document.elementFromPoint(left + Math.min(width / 2, 8), top + height / 2);
        return !one.contains(at) && !at.contains(one);
      });
      return [...wide, ...covered].map((one) => one.outerHTML.slice(0, 200));
    }
"""
"""The elements that are wider than their box, or below another element."""


def test_the_colours_follow_the_system(visit: Open) -> None:
    """They change even while the page is open."""
    page = visit(color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) != light
