"""The contract, the code, the gateway's problems and the developer portal agree."""

import functools
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, Final

import jsonschema_rs
import msgspec
import pytest
import schemathesis
import yaml

from in_process import run
from zama_api import faults, problems
from zama_api.operations import OPERATIONS, parameter_type
from zama_ops.paths import ROOT

CONTRACT: Final = ROOT / "services" / "api" / "openapi.yaml"
GATEWAY: Final = ROOT / "services" / "nginx"

# Raised by the API, but only for other paths and methods or by /readyz.
NOT_AT_AN_OPERATION: Final = {404, 405, 503}

PROBLEM: Final = "application/problem+json"


def read_map(variable: str) -> dict[int, str]:
    """Read a map of problems.conf; its default belongs to status 500."""
    source = (GATEWAY / "includes" / "problems.conf").read_text()
    block = re.search(
        rf"^map \$status \${variable} \{{\n(.*?)^\}}", source, re.DOTALL | re.MULTILINE
    )
    assert block, f"problems.conf has no map of ${variable}"
    entries = re.findall(r'^ *(\w+) "(.*)";$', block[1], re.MULTILINE)
    assert len(entries) == len(block[1].splitlines())
    return {500 if status == "default" else int(status): text for status, text in entries}


PAGE: Final = (GATEWAY / "docs" / "index.html").read_text()
CONTENTS: Final[dict[str, Any]] = yaml.safe_load(CONTRACT.read_text())
TITLES: Final = read_map("problem_title")
SLUGS: Final = read_map("problem_slug")
DETAILS: Final = read_map("problem_detail")


def kebab(title: str) -> str:
    return title.lower().replace(" ", "-")


def resolve(node: Any) -> Any:
    while "$ref" in node:
        pointer, node = node["$ref"], CONTENTS
        for name in pointer.removeprefix("#/").split("/"):
            node = node[name]
    return node


def inline(schema: Any) -> Any:
    """Return a schema without references and descriptions."""
    if isinstance(schema, list):
        return [inline(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    words = {"title", "description", "format"}
    return {name: inline(item) for name, item in resolve(schema).items() if name not in words}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and the contract's description of each operation."""
    for path, item in CONTENTS["paths"].items():
        for method in item.keys() - {"parameters"}:
            yield method.upper(), path, item[method]


def examples(body: dict[str, Any]) -> list[Any]:
    if "example" in body:
        return [body["example"]]
    return [example["value"] for example in body["examples"].values()]


# --- The contract itself --------------------------------------------------------------------------


def test_the_contract_is_openapi() -> None:
    """The contract is a valid OpenAPI document."""
    schemathesis.openapi.from_path(CONTRACT).validate()


def test_the_gateway_serves_the_contract() -> None:
    """The gateway's JSON is the output of `make openapi`."""
    served = (GATEWAY / "docs" / "openapi.json").read_text()
    assert served == json.dumps(CONTENTS, indent=2) + "\n", "run `make openapi`"


def test_examples_follow_their_schema() -> None:
    """Every body in the contract has valid examples."""
    for method, path, operation in operations():
        messages = [operation.get("requestBody", {}), *operation["responses"].values()]
        for message in map(resolve, messages):
            for body in message.get("content", {}).values():
                schema = {**body["schema"], "components": CONTENTS["components"]}
                for example in examples(body):
                    assert jsonschema_rs.is_valid(schema, example), f"{method} {path}: {example}"


def test_a_status_has_its_own_problems() -> None:
    """Every problem in the contract has the status that it is documented under."""
    for _, _, operation in operations():
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                for example in examples(resolve(response)["content"][PROBLEM]):
                    assert example["status"] == int(status)


# --- The contract and the API ---------------------------------------------------------------------


def test_the_contract_has_the_operations_of_the_code() -> None:
    """The contract's POST paths are the operations of the code."""
    posted = {path for path, item in CONTENTS["paths"].items() if "post" in item}
    assert posted == set(OPERATIONS)


@pytest.mark.parametrize("path", OPERATIONS)
def test_an_operation_accepts_the_documented_schema(path: str) -> None:
    """Contract and code agree on members, types and bounds of an operation's parameter."""
    (body,) = CONTENTS["paths"][path]["post"]["requestBody"]["content"].values()
    taken = parameter_type(OPERATIONS[path])
    _, components = msgspec.json.schema_components([taken])
    assert inline(body["schema"]) == inline(components[taken.__name__])


@pytest.mark.parametrize("path", OPERATIONS)
def test_an_operation_documents_the_apis_statuses(path: str) -> None:
    """The contract has every status that the API can return for an operation."""
    documented = {int(status) for status in CONTENTS["paths"][path]["post"]["responses"]}
    assert problems.TITLES.keys() - NOT_AT_AN_OPERATION <= documented


def test_the_number_of_errors_is_documented() -> None:
    """The contract allows as many errors of a body as the API reports."""
    (_, own) = CONTENTS["components"]["schemas"]["InvalidBody"]["allOf"]
    assert own["properties"]["errors"]["maxItems"] == faults.MAX_FAULTS


def test_only_operations_need_a_key() -> None:
    """Operations document that they need a key; health paths need none."""
    for _, path, operation in operations():
        assert operation["security"] == ([{"ApiKey": []}] if path in OPERATIONS else [])


@functools.cache
def real_problems() -> list[dict[str, Any]]:
    """Return the problems that the API and the gateway really produce, without ids."""
    with run() as up, run(ready_delay_seconds=60) as starting, run() as stopping:
        stopping.health.drain()
        answers = [
            up.sum(b'{"a": 2'),
            up.sum(b'{"a":NaN,"b":2}'),
            up.sum(b'{"a":"2","b":40}'),
            up.sum(b'{"a":1,"a":2,"b":3}'),
            up.sum(b'{"b":1.5,"c":0}'),
            up.sum(b'{"a":9223372036854775808,"b":0}'),
            up.sum(b'{"a":2,"b":40}', CONTENT_TYPE="text/plain"),
            # The server's part of the request is missing.
            up.sum(b"", **{"wsgi.input": None}),
            starting.request("GET", "/readyz"),
            stopping.request("GET", "/readyz"),
        ]
    made = [answer.json for answer in answers]
    made += [
        {
            "type": f"/docs#{SLUGS[status]}",
            "title": TITLES[status],
            "status": status,
            "detail": DETAILS[status],
        }
        for status in TITLES
    ]
    return [{**problem, "request_id": ""} for problem in made]


def test_example_problems_are_real() -> None:
    """The API or the gateway produces every problem in the contract, word for word."""
    for response in CONTENTS["components"]["responses"].values():
        for example in examples(response["content"][PROBLEM]):
            assert {**example, "request_id": ""} in real_problems()


# --- The API's problems and the gateway's ---------------------------------------------------------


def test_the_gateway_has_three_texts_for_each_problem() -> None:
    """Titles, slugs and details exist for the same statuses."""
    assert TITLES.keys() == SLUGS.keys() == DETAILS.keys()


def test_every_error_page_has_a_problem() -> None:
    """Each status that nginx turns into a problem has its own texts."""
    source = (GATEWAY / "includes" / "error_pages.conf").read_text()
    turned = re.findall(r"^error_page ([\d =]+) /_problem;$", source, re.MULTILINE)
    statuses = {int(status) for status in re.findall(r"\d+", " ".join(turned))}
    # nginx's internal 494 becomes 431, and 501 and 505 become 400.
    assert statuses - {494, 501, 505} == TITLES.keys()


def test_api_and_gateway_use_the_same_titles() -> None:
    """A status has one title, whether the API or the gateway answers."""
    shared = problems.TITLES.keys() & TITLES.keys()
    assert {status: problems.TITLES[status] for status in shared} == {
        status: TITLES[status] for status in shared
    }


def test_slugs_are_titles_in_kebab_case() -> None:
    """The gateway derives types from titles, as the API does."""
    assert {status: kebab(title) for status, title in TITLES.items()} == SLUGS


# --- The developer portal -------------------------------------------------------------------------


class Page(HTMLParser):
    """The tags of the developer portal."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(PAGE)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(attribute))]


def test_every_problem_is_explained() -> None:
    """The `type` of every problem leads to a section of the developer portal."""
    titles = {**problems.TITLES, **TITLES}
    assert {kebab(title) for title in titles.values()} <= set(Page().values("id"))


def test_the_problems_shown_are_real() -> None:
    """One problem is shown in full, and each entry has a real title, status and detail."""
    entry = r'<section id="([a-z-]+)"><h3>(\d+) (.*?)</h3>.*?<pre><code>(.*?)</code></pre>'
    shown = [
        {"type": f"/docs#{slug}", "title": title, "status": int(status), "detail": detail}
        for slug, status, title, detail in re.findall(entry, PAGE, re.DOTALL)
    ]
    assert len(shown) == len({**problems.TITLES, **TITLES})
    (whole,) = re.findall(r"^{\n.*?^}(?=</code>)", PAGE, re.DOTALL | re.MULTILINE)
    # An entry does not repeat its detail in `errors`.
    real = [
        {name: value for name, value in problem.items() if name != "errors"}
        for problem in real_problems()
    ]
    for problem in (*shown, json.loads(whole)):
        assert {**problem, "request_id": ""} in real


def test_the_limits_shown_are_the_configured_ones() -> None:
    """Rate, burst and body size on the page are the gateway's defaults."""
    entrypoint = (GATEWAY / "entrypoint").read_text()
    nginx = (GATEWAY / "nginx.conf").read_text()
    rate, burst = (
        int(re.findall(rf"^ *{name}=\$\{{{name}:-(\d+)\}}$", entrypoint, re.MULTILINE)[0])
        for name in ("RATE_LIMIT", "RATE_BURST")
    )
    kibibytes = int(re.findall(r"client_max_body_size (\d+)k;", nginx)[0])
    page = " ".join(PAGE.split())
    assert f"<strong>{rate} requests a second</strong>, and a burst of {burst} more" in page
    assert f"<strong>{kibibytes} KiB</strong> ({kibibytes * 1024} bytes)" in page
    assert f'RateLimit-Policy: "default";q={rate};w=1' in page


def test_the_page_has_unique_ids() -> None:
    """Ids are unique, and each link within the page has a target."""
    page = Page()
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    anchors = {link.removeprefix("#") for link in page.values("href") if link.startswith("#")}
    assert anchors <= set(ids)


def test_the_page_follows_its_policy() -> None:
    """The page has no inline script and no inline style, which the gateway's policy forbids."""
    for tag, attributes in Page().tags:
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
