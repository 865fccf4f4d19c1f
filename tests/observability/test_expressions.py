"""All series in rules and panels exist in a real Prometheus that watches the real service."""

import json
import re
import urllib.parse
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import pytest

from zama_ops.http_client import HttpClient
from zama_ops.local.sandbox import NO_LIMIT, Sandbox, expressions, faster_expression
from zama_ops.paths import DASHBOARD
from zama_ops.programs import wait_until
from zama_ops.slo import every_rule

SPEED: Final = 20

PANELS: Final = {
    f"{panel['title']}, {number}": expression
    for panel in json.loads(DASHBOARD.read_text())["panels"]
    for number, expression in enumerate(expressions(panel), 1)
}
RECORDINGS: Final = [rule for rule in every_rule() if "record" in rule]
ALERTS: Final = [rule for rule in every_rule() if "alert" in rule]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run and call the service until every recording rule has data."""
    with Sandbox(SPEED, task_count=2, rate=20, rate_limit=NO_LIMIT) as sandbox:
        sandbox.let_pass(minutes=6)
        yield sandbox


def ask(sandbox: Sandbox, expression: str) -> Any:
    query = urllib.parse.urlencode({"query": expression})
    answer = HttpClient(sandbox.prometheus, timeout=10).send("GET", f"/api/v1/query?{query}")
    return answer.json()["data"]["result"]


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("expression", PANELS.values(), ids=PANELS)
def test_every_panel_has_data(sandbox: Sandbox, expression: str) -> None:
    """No panel is empty during an incident."""
    wait_until(lambda: ask(sandbox, faster_expression(expression, SPEED)), expression, seconds=30)


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize(
    "rule", RECORDINGS, ids=lambda rule: f"{rule['record']}-{rule['labels']['objective']}"
)
def test_every_recording_has_data(sandbox: Sandbox, rule: dict[str, Any]) -> None:
    """Every window has data, including the windows that add up shorter ones."""
    name = f'{rule["record"]}{{objective="{rule["labels"]["objective"]}"}}'
    wait_until(lambda: ask(sandbox, name), name, seconds=30)


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_uses_existing_series(sandbox: Sandbox, rule: dict[str, Any]) -> None:
    """Each series exists, and only the heartbeat fires on a healthy service."""
    expression = faster_expression(rule["expr"], SPEED)
    series = re.findall(r"(?<![\w:])((?:gateway_|service:|up)[\w:]*(?:{[^}]*})?)", expression)
    assert series
    for selector in series:
        wait_until(partial(ask, sandbox, selector), selector, seconds=30)
    assert bool(ask(sandbox, expression)) == (rule["alert"] == "Heartbeat")
