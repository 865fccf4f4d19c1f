"""Prometheus's rules, evaluated by promtool on synthetic traffic."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from zama_api.gateway_metrics import BUCKETS
from zama_ops.paths import OBSERVABILITY
from zama_ops.programs import run
from zama_ops.slo import RULES, BurnRate, Objective, ServiceLevels, every_rule

LEVELS: Final = ServiceLevels.load()
RULE_FILES: Final = sorted((OBSERVABILITY / "prometheus" / "rules").iterdir())
CASES: Final = OBSERVABILITY / "prometheus" / "tests"

# Each window in minutes, the interval of the synthetic samples.
MINUTES: Final = {"m": 1, "h": 60, "d": 1440}

Alerts = set[tuple[str, str]]
"""Alert names with their windows."""

Expected = Mapping[tuple[int, str], Alerts]
"""A minute and a selector of alerts, to the alerts that should fire then."""


def minutes(duration: str) -> int:
    return int(duration[:-1]) * MINUTES[duration[-1]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in every_rule() if "alert" in rule]


def counter(*phases: tuple[int, float]) -> str:
    """Return a counter in promtool's notation; a phase is minutes and growth per minute."""
    parts, value = [], 0.0
    for length, step in phases:
        parts.append(f"{value:g}+{step:g}x{length - 1}")
        value += step * length
    return " ".join(parts)


def traffic(objective: Objective, *phases: tuple[int, float, float]) -> list[dict[str, str]]:
    """Return the series of a gateway; a phase is minutes, requests and bad requests a minute."""
    late = objective.threshold_seconds is not None
    every = counter(*((length, requests) for length, requests, _ in phases))
    good = counter(*((length, requests - bad) for length, requests, bad in phases))
    bad = counter(*((length, bad) for length, _, bad in phases))
    nothing = counter(*((length, 0) for length, _, _ in phases))
    series = {
        'gateway_requests_total{route="/sum",status="200"}': every if late else good,
        'gateway_requests_total{route="/sum",status="502"}': nothing if late else bad,
        'gateway_request_duration_seconds_count{route="/sum"}': every,
        'gateway_request_duration_seconds_bucket{route="/sum",le="0.1"}': good if late else every,
        'up{job="api",instance="a"}': f"1x{sum(length for length, _, _ in phases)}",
    }
    return [{"series": name, "values": values} for name, values in series.items()]


def evaluate(
    folder: Path,
    series: list[dict[str, str]],
    expected: Expected,
    interval: str = "1m",
    rules: Sequence[Path] = RULE_FILES,
) -> None:
    """Compare the alerts that fire on given series with the expected ones, using promtool."""
    expressions = [
        {
            "eval_time": f"{minute}m",
            "expr": f'count by (alertname, window) (ALERTS{{alertstate="firing",{which}}})',
            "exp_samples": [
                {"labels": _labels(name, window), "value": 1} for name, window in alerts
            ],
        }
        for (minute, which), alerts in expected.items()
    ]
    file = folder / "test.yaml"
    test = {"interval": "1m", "input_series": series, "promql_expr_test": expressions}
    files = [str(file) for file in rules]
    file.write_text(
        yaml.safe_dump({"rule_files": files, "evaluation_interval": interval, "tests": [test]})
    )
    run("promtool", "test", "rules", str(file))


def _labels(name: str, window: str) -> str:
    return f'{{alertname="{name}",window="{window}"}}' if window else f'{{alertname="{name}"}}'


def alert_of(objective: Objective) -> str:
    return f"{objective.name.capitalize()}BudgetBurn"


def test_the_rules_match_the_objectives() -> None:
    """The committed rules are the output of `make slo`."""
    assert RULES.read_text() == LEVELS.rules(), "run `make slo`"


def test_the_latency_objective_is_a_bucket() -> None:
    """The number of requests within the objective is exact, not interpolated."""
    thresholds = {objective.threshold_seconds for objective in LEVELS.objectives} - {None}
    assert thresholds
    assert thresholds <= set(BUCKETS)


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_names_its_runbook(rule: dict[str, Any]) -> None:
    """An alert has a severity, a summary, a description and the page of its name."""
    assert rule["labels"]["severity"] in {"page", "ticket", "none"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    assert rule["annotations"]["runbook_url"] == f"{LEVELS.runbooks}/{rule['alert']}.md"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("target: 0.999", "target: 99.9"), "between 0 and 1"),
        (lambda text: text.replace("window: 30d", ""), "window"),
        (lambda text: text.replace("factor:", "speed:"), "speed"),
    ],
    ids=["a target in percent", "no window", "a misspelt name"],
)
def test_invalid_objectives_are_refused(
    tmp_path: Path, change: Callable[[str], str], words: str
) -> None:
    """An error in slo.yaml is reported when the file is loaded."""
    file = tmp_path / "slo.yaml"
    file.write_text(change((OBSERVABILITY / "slo.yaml").read_text()))
    with pytest.raises(ValueError, match=words):
        ServiceLevels.load(file)


@pytest.mark.needs("prometheus")
def test_every_rule_is_valid() -> None:
    """Prometheus accepts all rules and finds no duplicates."""
    run("promtool", "check", "rules", "--lint-fatal", *map(str, RULE_FILES))


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("file", sorted(CASES.iterdir()), ids=lambda file: file.name)
def test_the_cases_pass(file: Path) -> None:
    """Alerts fire and stay silent as the cases expect."""
    run("promtool", "test", "rules", str(file))


def test_every_other_alert_has_its_cases() -> None:
    """Each alert has a case that makes it fire and a case that keeps it silent."""
    cases = "".join(file.read_text() for file in CASES.iterdir())
    for rule in alerts():
        if not rule["alert"].endswith("BudgetBurn"):
            name = f'ALERTS{{alertname="{rule["alert"]}"'
            assert cases.count(name) >= 2, f"{rule['alert']} lacks a case"


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("rate", LEVELS.burn_rates, ids=lambda rate: rate.long)
def test_a_burn_fires_in_time(rate: BurnRate, tmp_path: Path) -> None:
    """At twice its rate, the alert of each objective fires after half its window, and not before.

    promtool evaluates the rules for days, so both objectives share the simulation, and only the
    rules of this window take part.
    """
    requests = 600.0
    long = minutes(rate.long)
    # Windows of days are simulated in steps of five minutes.
    interval, late = ("1m", 2) if long <= 360 else ("5m", 10)
    half = long + long // 2
    series: dict[str, dict[str, str]] = {}
    expected: dict[tuple[int, str], Alerts] = {}
    for objective in LEVELS.objectives:
        burn = 2 * rate.factor * objective.budget * requests
        phases = ((long, requests, 0), (long, requests, burn))
        late_answers = objective.threshold_seconds is not None
        series |= {
            one["series"]: one
            for one in traffic(objective, *phases)
            if one["series"].startswith("gateway_request_duration") is late_answers
        }
        name = alert_of(objective)
        this = f'alertname="{name}",window="{rate.long}"'
        expected |= {(half - 2, this): set(), (half + late, this): {(name, rate.long)}}
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(of_one_window(rate)))
    evaluate(tmp_path, list(series.values()), expected, interval, [rules])


def of_one_window(rate: BurnRate) -> dict[str, Any]:
    """Return the objectives' rules, except the rules of other windows."""
    rules: dict[str, Any] = yaml.safe_load(RULES.read_text())
    # The longer windows add up the counts of five minutes.
    recorded = ("5m", rate.short, rate.long)
    for group in rules["groups"]:
        group["rules"] = [
            rule
            for rule in group["rules"]
            if re.sub(".*(increase|rate)", "", rule.get("record", "")) in recorded
            or rule["labels"].get("window") == rate.long
        ]
    return rules


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("objective", LEVELS.objectives, ids=lambda objective: objective.name)
def test_a_total_outage_pages_in_minutes(objective: Objective, tmp_path: Path) -> None:
    """If all requests are bad, the fastest alert does not wait for a full window."""
    before, requests = 120, 60
    # It fires at 14.4 % of an hour with bad latency, and at a tenth of that for availability.
    minutes = 2 if objective.threshold_seconds is None else 10
    series = traffic(objective, (before, requests, 0), (20, requests, requests))
    name = alert_of(objective)
    which = f'alertname="{name}",window="1h"'
    expected = {(before - 1, which): set(), (before + minutes, which): {(name, "1h")}}
    evaluate(tmp_path, series, expected)


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("per_second", [1, 10, 1000])
@pytest.mark.parametrize("objective", LEVELS.objectives, ids=lambda objective: objective.name)
def test_a_healthy_hour_is_silent(objective: Objective, per_second: int, tmp_path: Path) -> None:
    """At half the budget's rate, no alert fires in any minute of an hour."""
    requests = 60 * per_second
    series = traffic(objective, (62, requests, 0.5 * objective.budget * requests))
    every = 'severity!="none"'
    evaluate(tmp_path, series, {(minute, every): set() for minute in range(1, 62)})


@pytest.mark.needs("prometheus")
def test_an_outage_has_one_page(tmp_path: Path) -> None:
    """Four minutes into an outage and long after its end, no other page fires."""
    began, lasts, after = 120, 30, 70
    lengths = (began, lasts, after)
    series = [
        {
            "series": f'gateway_requests_total{{route="/sum",status="{status}"}}',
            "values": counter(*zip(lengths, steps, strict=True)),
        }
        for status, steps in {"200": (60, 0, 60), "502": (0, 60, 0)}.items()
    ]
    up = f"1x{began} 0x{lasts - 1} 1x{after}"
    series.append({"series": 'up{job="api",instance="a"}', "values": up})
    pages = 'severity="page"'
    only = {("NoHealthyTask", "")}
    during = {(minute, pages): only for minute in range(began + 4, began + lasts, 5)}
    since: dict[tuple[int, str], Alerts] = {
        (minute, pages): set() for minute in range(began + lasts + 3, began + lasts + after, 5)
    }
    evaluate(tmp_path, series, {(began - 1, pages): set(), **during, **since})


@pytest.mark.needs("prometheus")
def test_the_heartbeat_ends_with_the_metrics(tmp_path: Path) -> None:
    """It needs every step: metrics that arrive, recorded rules, and an alert."""
    lasts = 20
    series = [
        {**one, "values": f"{one['values']} stale"}
        for objective in LEVELS.objectives
        for one in traffic(objective, (lasts, 60, 0))
    ]
    beats = {("Heartbeat", "")}
    which = 'severity="none"'
    expected = {(lasts - 1, which): beats, (lasts + 6, which): set[tuple[str, str]]()}
    evaluate(tmp_path, list({one["series"]: one for one in series}.values()), expected)


@pytest.mark.needs("prometheus")
def test_requests_that_callers_gave_up_are_bad(tmp_path: Path) -> None:
    """They are bad if they waited for more than a second: a caller may give up for any reason."""
    (availability,) = (one for one in LEVELS.objectives if one.threshold_seconds is None)
    name = alert_of(availability)
    for status, expected in (("499_late", {(name, "1h")}), ("499", set[tuple[str, str]]())):
        series = [
            {"series": 'gateway_requests_total{route="/sum",status="200"}', "values": "0+54x90"},
            {
                "series": f'gateway_requests_total{{route="/sum",status="{status}"}}',
                "values": "0+6x90",
            },
        ]
        evaluate(tmp_path, series, {(70, f'alertname="{name}",window="1h"'): expected})


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("objective", LEVELS.objectives, ids=lambda objective: objective.name)
def test_single_failures_of_a_quiet_service_do_not_page(
    objective: Objective, tmp_path: Path
) -> None:
    """Four bad requests of forty in an hour are a tenth, but still only four."""
    series = traffic(objective, (60, 0.6, 0), (6, 1.0, 0.66), (60, 0.6, 0))
    which = f'alertname="{alert_of(objective)}"'
    evaluate(tmp_path, series, {(minute, which): set() for minute in range(60, 120, 5)})
