"""Every alarm has a runbook, and every runbook has an alarm."""

import re
from typing import Final

import pytest

from zama_ops.paths import ROOT
from zama_ops.slo import ServiceLevels, every_rule

RUNBOOKS: Final = ROOT / "docs" / "runbooks"
# Real plans; tests/aws checks that they are current.
PLANS: Final = (ROOT / "plan.txt", ROOT / "docs" / "plan-production.txt")

PAGES: Final = sorted(file for file in RUNBOOKS.iterdir() if file.name != "README.md")
SECTIONS: Final = ("Meaning", "Impact", "Diagnosis", "Mitigation")


def in_prometheus() -> set[str]:
    return {rule["alert"] for rule in every_rule() if "alert" in rule}


def in_cloudwatch() -> dict[str, str]:
    """Return the names of all CloudWatch alarms, with their runbooks' URLs."""
    alarms = {}
    for plan in PLANS:
        blocks = re.findall(
            r'resource "aws_cloudwatch_(?:metric|composite)_alarm".*?\n    }',
            plan.read_text(),
            re.DOTALL,
        )
        for block in blocks:
            name = re.search(r'alarm_name += "zama-challenge-(.*)"', block)
            runbook = re.search(r'alarm_description += ".* Runbook: (\S+)"', block)
            assert name, block
            assert runbook, block
            alarms[name[1]] = runbook[1]
    return alarms


def test_every_cloudwatch_alarm_names_its_runbook() -> None:
    """The URL leads to the page of the alarm or of the composite alarm that contains it."""
    base = ServiceLevels.load().runbooks
    alarms = in_cloudwatch()
    assert len(alarms) > 10
    for name, runbook in alarms.items():
        page = runbook.removeprefix(f"{base}/")
        assert (RUNBOOKS / page).is_file(), name
        part_of = re.sub(r"BurnRate-.*", "BudgetBurn", name)
        assert part_of.startswith(page.removesuffix(".md")), name


def test_every_prometheus_alert_has_its_runbook() -> None:
    """The page has the alert's name; test_rules.py checks the link."""
    for name in in_prometheus():
        assert (RUNBOOKS / f"{name}.md").is_file()


def test_every_runbook_has_its_alarm() -> None:
    """No runbook remains of a removed alarm, and the index lists each one."""
    alarms = in_prometheus() | {re.sub("-.*", "", name) for name in in_cloudwatch()}
    # Events have no alarm.
    alarms |= set(re.findall(r"\w+(?=: <what>)", PLANS[0].read_text()))
    index = (RUNBOOKS / "README.md").read_text()
    for page in PAGES:
        assert page.stem in alarms
        assert f"[{page.stem}]({page.name})" in index


def test_a_runbook_begins_with_the_callers() -> None:
    """Its first sentence says whether they are affected."""
    for page in PAGES:
        assert re.match(r"# \w+\n\n\*\*.*(allers|aller is|ustomers) .*\*\*\n", page.read_text())


def test_a_command_has_its_expected_output() -> None:
    """After each command, the runbook describes the output, and the steps are numbered."""
    for page in PAGES:
        text = page.read_text()
        commands = re.findall(r"^ *```sh\n.*?^ *```\n\n(.*?)$", text, re.MULTILINE | re.DOTALL)
        assert commands, page.name
        assert all(line.startswith("   Expect ") for line in commands), page.name


def test_a_runbook_has_its_sections() -> None:
    """The sections are in the same order, and a command is among them."""
    for page in PAGES:
        text = page.read_text()
        found = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert tuple(found[:4]) == SECTIONS, page.name
        assert "```sh" in text, page.name


@pytest.mark.parametrize("objective", [one.name for one in ServiceLevels.load().objectives])
def test_urgency_follows_the_burn_rates(objective: str) -> None:
    """The table in a budget's runbook has the windows of slo.yaml, in the same order."""
    text = (RUNBOOKS / f"{objective.capitalize()}BudgetBurn.md").read_text()
    rows = re.findall(r"^\| .* \| (\d+) (min|h|d) and (\d+) (min|h|d) \|", text, re.MULTILINE)
    stated = [(rate.long, rate.short) for rate in ServiceLevels.load().burn_rates]
    assert [(f"{a}{b[0]}", f"{c}{d[0]}") for a, b, c, d in rows] == stated
