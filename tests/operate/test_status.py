"""The faults that `zama status` reports."""

from dataclasses import replace
from typing import Any

import pytest

from zama_ops.service.status import Status, wrong

RUNNING = {"id": "0123456789", "state": "RUNNING", "stopped": ""}
WELL = Status(
    url="http://zama",
    version="1a2b3c4",
    rollout="COMPLETED",
    deployed="2026-11-25 04:00",
    tasks=2 * [RUNNING],
    desired_count=2,
    targets={"healthy": 2, "draining": 1},
    alarms={"OK": 9},
    firing=[],
    untold=[],
    budgets={"availability": 0.5, "latency": None},
    keys=1,
    old_keys=[],
)


def test_a_healthy_service_has_no_faults() -> None:
    """A drain, a partly used budget and a budget without data are not faults."""
    assert wrong(WELL, "") == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rollout": "FAILED"}, ["the last deployment failed: tasks failed to start"]),
        ({"tasks": [RUNNING, {**RUNNING, "state": "PENDING"}]}, ["1 of 2 tasks are running"]),
        (
            {"tasks": [RUNNING, {**RUNNING, "stopped": "collector"}]},
            ["collector of task 01234567 stopped: docs/runbooks/TelemetryLost.md"],
        ),
        ({"targets": {"unhealthy": 2}}, ["0 of 2 tasks are healthy targets"]),
        ({"firing": ["ServerErrors"]}, ["ServerErrors is firing: docs/runbooks"]),
        ({"budgets": {"latency": -0.1}}, ["the latency budget is used up: docs/slo.md"]),
    ],
)
def test_each_fault_is_named(changed: dict[str, Any], told: list[str]) -> None:
    """Each fault has a line that says where to look."""
    assert wrong(replace(WELL, **changed), "tasks failed to start") == told
