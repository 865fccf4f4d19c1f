"""The runbooks' commands run unchanged against the deployed service."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Final

import pytest

from deployment import Deployment, zama
from stack import ZAMA
from zama_ops.container_images import IMAGES
from zama_ops.delivery.release import DEPLOYED, Record, Release, now, save
from zama_ops.paths import ROOT
from zama_ops.programs import complete, wait_until

# Minutes of AWS in a minute: a shift of traffic waits for a quarter of an hour.
_SPEED: Final = 60

RUNBOOKS: Final = ROOT / "docs" / "runbooks"


def commands() -> dict[str, list[str]]:
    """Return each distinct command with the runbooks that contain it."""
    found: dict[str, list[str]] = {}
    for page in sorted(RUNBOOKS.glob("[A-Z]*[a-z].md")):
        blocks = re.findall(r"^( *)```sh\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL)
        for _, command in blocks:
            found.setdefault(textwrap.dedent(command), []).append(page.stem)
    return found


COMMANDS: Final = commands()
# Production has the resources of every command. Only a rollout, and its state, differ on minimal.
ROLLOUT: Final = re.compile("zama (rollback|keys deploy|status)|aws (ecs|elbv2)")
CASES: Final = [
    pytest.param(profile, command, id=f"{profile}-{'+'.join(pages)}")
    for profile in ("minimal", "production")
    for command, pages in COMMANDS.items()
    if profile == "production" or ROLLOUT.search(command)
]


def record_another_release(deployment: Deployment) -> None:
    """Record a deployment for `zama rollback`: the same images under another tag."""
    deployment.publish("0000001")
    ecs = deployment.account.client("ecs")
    running = ecs.describe_task_definition(taskDefinition=deployment.service()["taskDefinition"])
    kept = ("family", "taskRoleArn", "executionRoleArn", "networkMode", "cpu", "memory")
    given = {name: running["taskDefinition"][name] for name in kept}
    containers = running["taskDefinition"]["containerDefinitions"]
    for one in containers:
        if one["name"] in IMAGES:
            one["image"] = one["image"].rpartition(":")[0] + ":0000001"
    registered = ecs.register_task_definition(
        **given, containerDefinitions=containers, requiresCompatibilities=["FARGATE"]
    )
    of = Release(commit="", tag="0000001", digests=None, profile=deployment.profile)
    arn = registered["taskDefinition"]["taskDefinitionArn"]
    record = Record(of, "", "", now(), 0, now(), DEPLOYED, task_definition=arn)
    save(deployment.account.client("s3"), deployment.account.state_bucket(), record)


@pytest.mark.parametrize(("deployment", "command"), CASES, indirect=["deployment"])
def test_a_command_runs(deployment: Deployment, command: str) -> None:
    """Pasted into a shell in the repository's root, it succeeds without error output."""
    if "zama rollback" in command:
        record_another_release(deployment)
    deployment.sum(X_Api_Key="wrong")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = ("bash", "-euo", "pipefail", "-c")
    settings = {**deployment.account.environ(), "CONNECT_TO": deployment.address}
    with deployment.fast(_SPEED):
        done = complete(*shell, command, **settings, PATH=path)
    # An alarm is firing when somebody runs it.
    assert done.returncode in ({0, 1} if "zama status" in command else {0}), done.stderr
    # Commands may report their progress.
    assert [line for line in done.stderr.splitlines() if line[:1] not in "✓NIR"] == []


def answer(deployment: Deployment, *words: str) -> Any:
    done = zama(deployment.account, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_saved_queries_return_rows(minimal: Deployment) -> None:
    """Each query finds its entries in the log."""
    assert minimal.sum(X_Request_Id="served").status == 200
    assert minimal.sum(X_Api_Key="wrong").status == 403
    wait_until(lambda: "served" in minimal.log(), "the log is written")

    refused = answer(minimal, "logs", "refused")
    assert {"status", "client", "remote_addr", "requests"} == set(refused[0])
    assert "403" in {row["status"] for row in refused}
    assert "default" in {row["client"] for row in answer(minimal, "logs", "clients")}
    assert "started" in {row["event"] for row in answer(minimal, "logs", "events")}
    slowest = [float(row["duration_ms"]) for row in answer(minimal, "logs", "slowest")]
    assert slowest == sorted(slowest, reverse=True)
    assert len(slowest) > 1
    assert all(int(row["status"]) >= 500 for row in answer(minimal, "logs", "errors"))
    followed = answer(minimal, "logs", "request", "served")
    # In any order: both lines can have the same millisecond.
    assert sorted(row["service"] for row in followed) == ["api", "nginx"]
    uses = answer(minimal, "usage")
    known, unknown = (
        next(one for one in uses if one["client"] == name) for name in ("default", "(no valid key)")
    )
    assert known["requests"] > 0 < known["p99_ms"]
    assert unknown["requests"] >= unknown["refused"] > 0
    minutes = answer(minimal, "logs", "refused-over-time")
    assert sum(int(row["count(*)"]) for row in minutes if row["status"] == "403") >= 1


def test_the_queries_are_listed(minimal: Deployment) -> None:
    """Without a name, `zama logs` lists the queries; a wrong name gets the list as well."""
    listed = zama(minimal.account, "logs").stdout.split()
    asked = {word for command in COMMANDS for word in re.findall(r"zama logs (\S+)", command)}
    assert asked <= set(listed)
    wrong = zama(minimal.account, "logs", "why")
    assert wrong.returncode == 1
    assert "errors" in wrong.stderr
    assert "name_prefix" in zama(minimal.account, "logs", "errors", "--prefix", "other").stderr
    assert "ID belongs to" in zama(minimal.account, "logs", "request").stderr
    assert "ID belongs to" in zama(minimal.account, "logs", "errors", "served").stderr
    assert "is not a request id" in zama(minimal.account, "logs", "request", "a' or b").stderr


def test_missing_credentials_are_reported() -> None:
    """The report is one line without a traceback."""
    environ = {"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true"}
    command = [str(ZAMA), "logs", "errors"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("zama: The AWS request failed:")
    assert done.stderr.count("\n") == 1
