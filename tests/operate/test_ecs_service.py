"""Waiting for a rollout, as ECS describes it."""

from collections.abc import Iterator
from typing import Any

import pytest

from zama_ops import ecs_service
from zama_ops.ecs_service import EcsService
from zama_ops.errors import CommandError

NEW, OLD = (f"arn:aws:ecs:eu-west-1:000000000000:task-definition/zama:{n}" for n in (2, 1))


def rollout(state: str, definition: str = NEW, status: str = "PRIMARY") -> dict[str, Any]:
    """Return a rollout whose tasks are stable, so that Terraform waits no longer."""
    return {
        "id": definition,
        "status": status,
        "taskDefinition": definition,
        "rolloutState": state,
        "rolloutStateReason": "alarm ServerErrors detected",
        "runningCount": 2,
        "desiredCount": 2,
    }


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[list[dict[str, Any]]]:
    """Return the rollouts that each of ECS's descriptions lists; the last one is repeated."""
    descriptions: list[list[dict[str, Any]]] = []

    def describe() -> Iterator[dict[str, Any]]:
        for rollouts in descriptions:
            yield {"deployments": rollouts}
        while True:
            yield {"deployments": descriptions[-1]}

    answers = describe()
    monkeypatch.setattr(EcsService, "describe", lambda _: next(answers))
    monkeypatch.setattr(ecs_service, "_POLL_SECONDS", 0)
    return descriptions


def test_a_rollout_ends_when_its_alarms_have_been_watched(told: list[Any]) -> None:
    """Stable tasks are not enough: ECS can still roll back."""
    told += [[rollout("IN_PROGRESS")]] * 3 + [[rollout("COMPLETED")]]
    EcsService("zama").wait_for(NEW)


@pytest.mark.parametrize(
    "later",
    [
        [rollout("FAILED", status="ACTIVE"), rollout("IN_PROGRESS", OLD)],
        [rollout("COMPLETED", OLD)],
    ],
)
def test_an_alarm_after_the_tasks_are_stable_fails_the_deployment(
    told: list[Any], later: list[Any]
) -> None:
    """The rollout fails, or is gone by the time that it is looked at."""
    told += [[rollout("IN_PROGRESS")]] * 2 + [later]
    with pytest.raises(CommandError, match=r"^The tasks were not replaced: "):
        EcsService("zama").wait_for(NEW)


def test_a_rollout_that_ecs_has_already_rolled_back_fails_the_deployment(told: list[Any]) -> None:
    """Between Terraform's end and this check."""
    told.append([rollout("COMPLETED", OLD)])
    with pytest.raises(CommandError, match=f"^The service runs {OLD}: "):
        EcsService("zama").wait_for(NEW)
