"""`zama rollback` returns to the deployment before, and never starts a second rollback."""

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

import pytest

from zama_ops import ecs_service
from zama_ops.delivery import release
from zama_ops.delivery.release import DEPLOYED, ROLLBACK, Record, Release, deployed, last_deployed
from zama_ops.ecs_service import EcsService, ShiftedBackError, shift
from zama_ops.errors import CommandError

GROUP: Final = {"applicationName": "zama", "deploymentGroupName": "zama"}


class CodeDeploy:
    """Answers as CodeDeploy does; each request for a deployment lets some time pass.

    A deployment has a list of its states; `bad` makes new ones fail and be rolled back.
    """

    def __init__(self, *, bad: bool = False) -> None:
        self.bad = bad
        self.states: dict[str, list[str]] = {}
        self.creators: dict[str, str] = {}
        self.rolled_back_by: dict[str, str] = {}
        self.calls: list[str] = []

    def begin(self, identity: str, states: list[str], creator: str = "user") -> None:
        self.states[identity] = states
        self.creators[identity] = creator

    def _roll_back(self, identity: str) -> None:
        self.rolled_back_by[identity] = f"{identity}-back"
        self.begin(f"{identity}-back", ["InProgress", "Succeeded"], "codeDeployRollback")

    def list_deployments(self, **given: Any) -> Any:
        wanted = given["includeOnlyStatuses"]
        return {"deployments": [name for name, one in self.states.items() if one[0] in wanted]}

    def get_deployment(self, *, deploymentId: str) -> Any:  # noqa: N803 - AWS's name
        states = self.states[deploymentId]
        if len(states) > 1:
            states.pop(0)
        if states[0] == "Failed" and deploymentId not in self.rolled_back_by:
            self._roll_back(deploymentId)
        back = self.rolled_back_by.get(deploymentId)
        return {
            "deploymentInfo": {
                "deploymentId": deploymentId,
                "status": states[0],
                "creator": self.creators[deploymentId],
                "errorInformation": {"message": "an alarm fired"},
                "rollbackInfo": {"rollbackDeploymentId": back} if back else {},
            }
        }

    def create_deployment(self, **_: Any) -> Any:
        assert not self.list_deployments(includeOnlyStatuses=["InProgress"])["deployments"]
        self.calls.append("create")
        self.begin("new", ["InProgress", "InProgress", "Failed" if self.bad else "Succeeded"])
        return {"deploymentId": "new"}

    def stop_deployment(self, *, deploymentId: str, autoRollbackEnabled: bool) -> None:  # noqa: N803
        assert autoRollbackEnabled
        self.calls.append(f"stop {deploymentId}")
        self.states[deploymentId] = ["Stopped"]
        self._roll_back(deploymentId)


@pytest.fixture
def codedeploy(monkeypatch: pytest.MonkeyPatch) -> CodeDeploy:
    one = CodeDeploy()
    monkeypatch.setattr(ecs_service, "client", lambda _: contextlib.nullcontext(one))
    monkeypatch.setattr(EcsService, "uses_codedeploy", True)
    monkeypatch.setattr(ecs_service, "_POLL_SECONDS", 0)
    return one


def test_a_deployment_under_way_is_stopped_and_its_rollback_followed(
    codedeploy: CodeDeploy,
) -> None:
    """The old tasks still run, so CodeDeploy's own rollback is faster than another deployment."""
    codedeploy.begin("d-1", 9 * ["InProgress"])
    assert EcsService("zama").undo()
    assert codedeploy.calls == ["stop d-1"]
    assert codedeploy.states["d-1-back"] == ["Succeeded"]


def test_a_rollback_of_codedeploy_is_followed(codedeploy: CodeDeploy) -> None:
    """It is neither stopped nor doubled."""
    codedeploy.begin("d-2", ["InProgress", "InProgress", "Succeeded"], "codeDeployRollback")
    assert EcsService("zama").undo()
    assert codedeploy.calls == []
    assert codedeploy.states["d-2"] == ["Succeeded"]


def test_a_rollback_that_fails_is_reported(codedeploy: CodeDeploy) -> None:
    """The message names the deployment."""
    codedeploy.begin("d-2", ["InProgress", "Failed"], "codeDeployRollback")
    codedeploy.rolled_back_by["d-2"] = "d-3"
    codedeploy.begin("d-3", ["Failed"], "codeDeployRollback")
    codedeploy.rolled_back_by["d-3"] = "none"
    with pytest.raises(CommandError, match="rollback d-3 has Failed"):
        EcsService("zama").undo()


def test_nothing_is_undone_between_deployments(codedeploy: CodeDeploy) -> None:
    """A deployment that has succeeded needs a new one to undo it."""
    codedeploy.begin("d-1", ["Succeeded"])
    assert not EcsService("zama").undo()


def test_a_shift_waits_for_the_rollback_of_another(codedeploy: CodeDeploy) -> None:
    """CodeDeploy refuses a second deployment of the group."""
    codedeploy.begin("d-2", ["InProgress", "InProgress", "Succeeded"], "codeDeployRollback")
    shift({**GROUP, "revision": {}})
    assert codedeploy.states["new"] == ["Succeeded"]


def test_a_failed_shift_waits_until_the_old_tasks_serve(codedeploy: CodeDeploy) -> None:
    """The error gives CodeDeploy's reason; a caller need not roll back again."""
    codedeploy.bad = True
    with pytest.raises(ShiftedBackError, match=r"new-back: Succeeded.*an alarm fired"):
        shift({**GROUP, "revision": {}})
    assert codedeploy.states["new-back"] == ["Succeeded"]


# --- Records --------------------------------------------------------------------------------------


class Bucket:
    """The objects of an S3 bucket."""

    def __init__(self, *records: Record) -> None:
        self.objects = {
            f"service/deployments/{number}": json.dumps(asdict(record))
            for number, record in enumerate(records)
        }

    def get_paginator(self, _: str) -> "Bucket":
        return self

    def paginate(self, **_: str) -> Iterator[Any]:
        yield {"Contents": [{"Key": name} for name in self.objects]}

    def get_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803 - AWS's names
        del Bucket
        return {"Body": io.BytesIO(self.objects[Key].encode())}


def record(tag: str, outcome: str = DEPLOYED) -> Record:
    of = Release(commit=tag, tag=tag, digests=None, profile="minimal")
    return Record(of, "", "", "", 0, outcome=outcome, task_definition=tag)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], []),
        (["a", "b", "c"], ["c", "b", "a"]),
        (["a", "b", "back to a"], ["a"]),
        (["a", "b", "back to a", "c"], ["c", "a"]),
        (["a", "b", "c", "back to b", "back to a"], ["a"]),
        (["a", "b", "back to a", "c", "d", "back to c"], ["c", "a"]),
        (["a", "failed b", "c"], ["c", "a"]),
    ],
    ids=" ".join,
)
def test_the_history_is_a_stack(
    monkeypatch: pytest.MonkeyPatch, history: list[str], expected: list[str]
) -> None:
    """A rollback removes the deployments after its target; failed ones were never added."""
    outcomes = {"back": ROLLBACK, "failed": "rolled back to a", "": DEPLOYED}
    records = [
        record(one[-1], outcomes[one.partition(" ")[0] if " " in one else ""]) for one in history
    ]
    monkeypatch.setattr(release, "client", lambda _: contextlib.nullcontext(Bucket(*records)))
    assert [one.release.tag for one in deployed("bucket")] == expected
    last = last_deployed("bucket")
    assert (last.tag if last else None) == next(iter(expected), None)
