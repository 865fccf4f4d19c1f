"""README's scorecard: each row names a test, and a command that works."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from checkout import Checkout
from readme import BLOCKS
from stack import UNLIMITED, ProcessStack
from zama_ops import workflow
from zama_ops.delivery import rehearse
from zama_ops.paths import ROOT
from zama_ops.programs import run

README: Final = (ROOT / "README.md").read_text()
# The requirement, the file, the test and the command of each row.
ROWS: Final = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \| `([^|`]+)` \| `([^|`]+)` \|$", README, re.MULTILINE
)
COMMANDS: Final = sorted({command for *_, command in ROWS})

# Run by this module.
QUICK: Final = {"curl -s localhost:8081/readyz", "make slo"}
# Run by other tests, with stand-ins for GitHub's programs, or on another commit.
ELSEWHERE: Final = {
    ".venv/bin/zama logs": "aws/test_runbooks.py::test_the_queries_are_listed",
    "make auto-merge": "delivery/test_github.py::test_only_a_patch_update_of_locks_merges_itself",
    "make plan": "aws/test_plans.py::test_the_committed_plan_is_current",
    "make plan-comment": (
        "delivery/test_github.py::test_a_pull_request_gets_its_changes_to_the_plans"
    ),
    "make scan": "delivery/test_github.py::test_a_severe_vulnerability_is_refused",
    "make sign": "delivery/test_github.py::test_pushed_images_are_signed",
}


def rehearsed() -> set[str]:
    """Return the commands of the steps that a rehearsal runs."""
    return {
        step.run
        for name in ("ci.yml", "deploy.yml")
        for job in workflow.jobs(workflow.WORKFLOWS / name)
        for step in job.steps
        if "pull_request" not in job.condition + step.condition
    } - set(rehearse._LEFT_OUT)  # noqa: SLF001


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_pasted_by_a_test(command: str) -> None:
    """In a block that a test pastes, in the rehearsal, in this module, or in a named test."""
    pasted = {line for block in BLOCKS for line in block.splitlines()}
    if command not in pasted | rehearsed() | QUICK:
        file, _, name = ELSEWHERE[command].partition("::")
        assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text()


def test_no_row_is_left_out() -> None:
    """Each has a test and a command, or says that it is missed and leads to the reason."""
    score = README.partition("## Requirements")[2].partition("\n## ")[0]
    rows = [row for row in re.findall(r"^\| .* \|$", score, re.MULTILINE) if "---" not in row]
    missed = [row for row in rows if re.search(r"missed: \[[^]]+\]\([^)]+\)", row)]
    assert len(rows) == len(ROWS) + len(missed) + 2
    assert len(ROWS) > 15


@pytest.fixture
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ProcessStack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack.start(**UNLIMITED).gateway.url


@pytest.mark.needs("curl")
def test_readiness_is_shown(gateway: str) -> None:
    """The command prints that the service is ready."""
    (command,) = (one for one in QUICK if one.startswith("curl"))
    here = command.replace("localhost:8081", gateway.removeprefix("http://"))
    assert run("sh", "-c", here) == '{"status":"ready"}'


def test_the_rules_are_generated(tmp_path: Path) -> None:
    """`make slo` changes nothing, because the committed rules are up to date."""
    checkout = Checkout.make(tmp_path / "checkout")
    done = checkout.run("make", "slo")
    assert done.returncode == 0, done.stderr
    assert checkout.git("status", "--porcelain") == ""


def test_the_readme_takes_minutes() -> None:
    """It has fewer than 1,500 words; the rest is in docs."""
    assert len(README.split()) < 1500
