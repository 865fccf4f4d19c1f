"""Each drill's fault fires its alert in time, and its mitigation clears the alert."""

import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from stack import Report, zama
from zama_ops.local.drill import DRILLS
from zama_ops.local.sandbox import faster_expression, faster_rules
from zama_ops.paths import DASHBOARD
from zama_ops.slo import ServiceLevels

SPEED: Final = 20
AT_ONCE: Final = 4
# Drawing takes seconds, and all drills draw the same dashboard.
PICTURED: Final = "api-killed"

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Done]]]:
    """Run all drills, some concurrently, because they mostly wait."""
    options = (f"--speed={SPEED}", "--json")
    picture = (f"--picture={tmp_path_factory.mktemp('pictures') / 'dashboard.png'}",)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(zama, "drill", name, *options, *(picture if name == PICTURED else ()))
            for name in DRILLS
        }


@pytest.mark.needs("prometheus")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", DRILLS)
def test_the_alert_fires_and_clears(
    name: str, played: dict[str, Future[Done]], report: Report
) -> None:
    """The alert fires within the promised time, and no alert fires before the fault."""
    done = played[name].result()
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    expected = {str(alert) for alert in DRILLS[name].alerts}
    assert {one["alert"] for one in result["alerts"]} == expected
    for one in result["alerts"]:
        report(
            f"drill {name}: {one['alert']} fired after {one['fired_after'] / 60:.1f} min,"
            f" cleared after {one['cleared_after'] / 60:.1f} min (durations / {SPEED})"
        )


@pytest.mark.needs("prometheus")
@pytest.mark.timeout(600)
def test_a_drill_draws_the_dashboard(played: dict[str, Future[Done]]) -> None:
    """The picture is written to the file that the message names."""
    message = played[PICTURED].result().stderr.replace("\n", "")
    picture = re.search(r"Drawing (\S+\.png)", message)
    assert picture
    assert Path(picture[1]).read_bytes().startswith(b"\x89PNG")


def test_every_short_term_alert_has_a_drill() -> None:
    """Alerts over more than an hour would take a day; promtool tests them."""
    drilled = {alert.name for drill in DRILLS.values() for alert in drill.alerts}
    objectives = {f"{one.name.capitalize()}BudgetBurn" for one in ServiceLevels.load().objectives}
    service = {
        *("NoHealthyTask", "UnhealthyTasks", "NoRequests"),
        *("KeysRefused", "RateLimitHit", "UpstreamRetries", "TelemetryLost"),
    }
    assert drilled == objectives | service


def test_a_drill_without_prometheus_fails_with_a_message() -> None:
    """The message is one line, and the exit code is 1."""
    done = zama("drill", "silence", PATH="/nowhere")
    assert done.returncode == 1
    assert "There is no prometheus on the PATH" in done.stderr


@pytest.mark.parametrize(
    ("expression", "faster"),
    [
        ("increase(a[5m])", "increase(a[30000ms])"),
        ("sum_over_time(b:increase5m[30d:5m])", "sum_over_time(b:increase5m[259200000ms:30000ms])"),
        ('rate(a{b="[5m]"}[1h]) > 0.5', 'rate(a{b="[30000ms]"}[360000ms]) > 0.5'),
        ("a > 5", "a > 5"),
    ],
)
def test_only_durations_are_divided(expression: str, faster: str) -> None:
    """Names and thresholds are unchanged."""
    assert faster_expression(expression, 10) == faster


def test_all_durations_of_a_rule_are_divided() -> None:
    """Evaluation intervals and `for` are divided as well."""
    rules = {"groups": [{"interval": "1m", "rules": [{"expr": "a[1h]", "for": "2m"}]}]}
    assert faster_rules(rules, 60) == {
        "groups": [{"interval": "1000ms", "rules": [{"expr": "a[60000ms]", "for": "2000ms"}]}]
    }


def test_the_dashboard_has_lines_at_the_objectives() -> None:
    """The dashboard's thresholds match slo.yaml."""
    levels = ServiceLevels.load()
    panels = {panel["title"]: panel for panel in json.loads(DASHBOARD.read_text())["panels"]}

    def lines(title: str) -> list[float]:
        steps = panels[title]["fieldConfig"]["defaults"]["thresholds"]["steps"]
        return [step["value"] for step in steps if step["value"]]

    (latency,) = (one for one in levels.objectives if one.threshold_seconds)
    pages = sorted(rate.factor for rate in levels.burn_rates if rate.severity == "page")
    assert lines("Response time of /sum") == [latency.threshold_seconds]
    assert lines("Burn rates of the budgets") == pages
