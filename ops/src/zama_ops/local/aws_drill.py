"""`zama drill aws`: incidents in the deployment of `zama aws-local`, from fault to clear alarm."""

import contextlib
import ipaddress
import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from zama_ops.aws import client
from zama_ops.callers import Callers
from zama_ops.console import Table, errors_told, show, step
from zama_ops.contract_checks import EXAMPLE_KEY, caller
from zama_ops.ecs_service import EcsService, primary, shift
from zama_ops.errors import CommandError
from zama_ops.http_client import HttpClient
from zama_ops.options import PREFIX, AsJson, Picture, Prefix, require_drawable
from zama_ops.programs import complete, require, run

_CLOCK: Final = "/_zama/clock"
# For containers that start and stop, which the clock does not speed up.
_PATIENCE_SECONDS: Final = 120

# Lets every Nth sum fail, and starts the API.
_BAD_RELEASE: Final = """\
import itertools, runpy
from zama_api import operations

calls = itertools.count(1)

def add(addends: operations.Addends) -> operations.Sum:
    if next(calls) % {every} == 0:
        raise RuntimeError("a bad release")
    return operations.Sum(addends.a + addends.b)

operations.OPERATIONS["/sum"] = add
runpy.run_module("zama_api", run_name="__main__")
"""
_FREEZE: Final = "import os, signal; os.kill(-1, signal.SIGSTOP)"


class Site:
    """The deployment in the emulated account that the environment selects, and its callers."""

    def __init__(self, prefix: str, rate: float) -> None:
        self._endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        if urlsplit(self._endpoint).hostname != "127.0.0.1":
            raise CommandError(
                "These drills damage a service, so they need the AWS of `make aws-local`. Run it,"
                ' and then: eval "$(zama aws-local env)"'
            )
        self.service = EcsService(prefix)
        self._connect_to = os.environ.get("CONNECT_TO")
        service = caller(self.service.url(), EXAMPLE_KEY, self._connect_to)
        self.rate = rate
        self.callers = Callers(service, rate)

    def set_speed(self, speed: float) -> float:
        """Let so many minutes of AWS pass in a minute; return how many passed before."""
        clock = HttpClient(self._endpoint)
        before = float(clock.send("GET", _CLOCK).json()["speed"])
        clock.send("POST", _CLOCK, json.dumps({"speed": speed}).encode())
        return before

    def containers(self, name: str) -> list[str]:
        """Return the ids of the tasks' running containers of this name."""
        label = f"label=ministack.instance={socket.gethostname()}:{urlsplit(self._endpoint).port}"
        return run(
            "docker", "ps", "--quiet", "--filter", label, "--filter", f"name=-{name}$"
        ).split()

    def in_alarm(self) -> list[str]:
        """Return the names of the alarms that fire, without the prefix."""
        prefix = f"{self.service.prefix}-"
        with client("cloudwatch") as cloudwatch:
            found = cloudwatch.describe_alarms(
                AlarmNamePrefix=prefix,
                AlarmTypes=["MetricAlarm", "CompositeAlarm"],
                StateValue="ALARM",
                MaxRecords=100,
            )
        return sorted(
            one["AlarmName"].removeprefix(prefix)
            for one in (*found["MetricAlarms"], *found["CompositeAlarms"])
            if one["AlarmActions"]
        )

    def replace_tasks(self) -> None:
        """Replace all tasks, as the runbooks say, whatever alarms fire."""
        if self.service.uses_codedeploy:
            despite_alarms = {"overrideAlarmConfiguration": {"enabled": False}}
            deployment = self.service.codedeploy_deployment()
            shift({**deployment, **despite_alarms}, self._connect_to)
            return
        name = self.service.prefix
        with client("ecs") as ecs:
            # If an alarm fires only now, ECS rolls back, which replaces the tasks as well.
            ecs.update_service(cluster=name, service=name, forceNewDeployment=True)

    def is_steady(self) -> bool:
        """Say whether the wanted tasks run, and no deployment is in progress."""
        service = self.service.describe()
        newest = primary(service)
        counts = {service["desiredCount"], service["runningCount"], newest["runningCount"]}
        return len(counts) == 1 and newest.get("rolloutState", "COMPLETED") == "COMPLETED"


Cure = Callable[[], object]
"""Applies the runbook's mitigation."""


@dataclass(frozen=True)
class Drill:
    """An incident and its cure.

    Arguments:
        trouble: causes the incident and returns its cure.
        summary: what happens, in one sentence.
        mitigation: the mitigation in the alarm's runbook.
        alarm: the name of the alarm that must fire and clear.
        minutes: the limits for firing after the incident began and for clearing after the cure.

    """

    trouble: Callable[[Site], Cure]
    summary: str
    mitigation: str
    alarm: str
    minutes: tuple[float, float]


def _nothing() -> None:
    """ECS starts other tasks by itself."""


def _kill_tasks(site: Site) -> Cure:
    run("docker", "kill", *site.containers("nginx"))
    return _nothing


def _release(site: Site) -> Cure:
    service = site.service
    with client("ecs") as ecs:
        before = service.running()
        found = ecs.describe_task_definition(taskDefinition=before)["taskDefinition"]
        kept = ("family", "cpu", "memory", "networkMode", "requiresCompatibilities",
                "executionRoleArn", "taskRoleArn", "runtimePlatform")  # fmt: skip
        containers = found["containerDefinitions"]
        api = next(one for one in containers if one["name"] == "api")
        by_codedeploy = service.uses_codedeploy
        # With CodeDeploy, the canary gets a tenth of the requests.
        code = _BAD_RELEASE.format(every=1 if by_codedeploy else 10)
        good, api["image"] = api["image"], f"{api['image'].rpartition(':')[0]}:bad"
        _build(good, api["image"], ["python3", "-c", code])
        bad = ecs.register_task_definition(
            **{name: found[name] for name in kept if name in found},
            containerDefinitions=containers,
        )["taskDefinition"]["taskDefinitionArn"]
        if not by_codedeploy:
            ecs.update_service(cluster=service.prefix, service=service.prefix, taskDefinition=bad)
    if by_codedeploy:
        with client("codedeploy") as codedeploy:
            given = service.codedeploy_deployment(bad)
            identity = codedeploy.create_deployment(**given)["deploymentId"]
            # As if the test of the new tasks had passed: it cannot see each fault.
            _until(lambda: _state(codedeploy, identity) == "Ready", "The new tasks are not ready")
            codedeploy.continue_deployment(deploymentId=identity, deploymentWaitType="READY_WAIT")

    def wait_for_the_rollback() -> None:
        _until(
            lambda: service.running() == before and site.is_steady(),
            "The release was not rolled back",
        )

    return wait_for_the_rollback


def _state(codedeploy: Any, identity: str) -> str:
    info = codedeploy.get_deployment(deploymentId=identity)["deploymentInfo"]
    return str(info["status"])


def _build(good: str, bad: str, entrypoint: list[str]) -> None:
    """Build an image like the good one, with another command."""
    text = f"FROM {good}\nENTRYPOINT {json.dumps(entrypoint)}\n"
    done = complete("docker", "build", "--tag", bad, "-", given=text)
    if done.returncode:
        raise CommandError(f"The bad release cannot be built: {done.stderr}")


def _lose_keys(site: Site) -> Cure:
    name = site.service.parameter()
    with client("ssm") as ssm:
        kept = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
        filters = [{"Key": "Name", "Values": [name]}]
        (described,) = ssm.describe_parameters(ParameterFilters=filters)["Parameters"]
        tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
        ssm.delete_parameter(Name=name)
    run("docker", "kill", *site.containers("nginx"))
    given = {key: described[key] for key in ("Name", "Type", "KeyId", "Tier", "Description")
             if described.get(key)}  # fmt: skip

    def restore() -> None:
        with client("ssm") as ssm:
            ssm.put_parameter(**given, Value=kept["Value"], Tags=tags)

    return restore


def _add_target(site: Site) -> Cure:
    service = site.service.describe()
    # With CodeDeploy, the task set has them.
    serving = {**service, **primary(service)}
    network = serving["networkConfiguration"]["awsvpcConfiguration"]
    (balanced,) = serving["loadBalancers"]
    group = {"TargetGroupArn": balanced["targetGroupArn"]}
    with client("ec2") as ec2:
        subnet = ec2.describe_subnets(SubnetIds=network["subnets"][:1])["Subnets"][0]
    # The last address that a task could have.
    address = str(ipaddress.ip_network(subnet["CidrBlock"])[-2])
    unused = [{"Id": address, "Port": balanced["containerPort"]}]
    with client("elbv2") as elbv2:
        elbv2.register_targets(**group, Targets=unused)

    def remove() -> None:
        with client("elbv2") as elbv2:
            elbv2.deregister_targets(**group, Targets=unused)

    return remove


def _freeze_tasks(site: Site) -> Cure:
    for container in site.containers("api"):
        run("docker", "exec", container, "python3", "-c", _FREEZE)
    return site.replace_tasks


def _silence(site: Site) -> Cure:
    host = urlsplit(site.service.url()).hostname

    def probe(*, disabled: bool) -> None:
        with client("route53") as route53:
            for one in route53.list_health_checks()["HealthChecks"]:
                if one["HealthCheckConfig"].get("FullyQualifiedDomainName") == host:
                    route53.update_health_check(HealthCheckId=one["Id"], Disabled=disabled)
        site.callers.rate = 0 if disabled else site.rate

    probe(disabled=True)
    return partial(probe, disabled=False)


DRILLS: Final = {
    "task-killed": Drill(
        _kill_tasks,
        "Every task is killed at the same time.",
        "none: ECS starts other tasks",
        "LoadBalancerErrors",
        minutes=(5, 5),
    ),
    "bad-release": Drill(
        _release,
        "A release answers a tenth of the requests with 500.",
        "let the automatic rollback finish",
        "ServerErrors",
        minutes=(15, 15),
    ),
    "secret-missing": Drill(
        _lose_keys,
        "The parameter with the keys is gone when tasks start.",
        "restore the parameter",
        "NoHealthyTask",
        minutes=(10, 10),
    ),
    "target-unhealthy": Drill(
        _add_target,
        "A target without a task does not answer, so ECS cannot replace it.",
        "deregister the target",
        "UnhealthyTasks",
        minutes=(10, 10),
    ),
    "silence": Drill(
        _silence,
        "Requests stop, including the probe's.",
        "find out what stops the requests; here, send them again",
        "NoRequests",
        minutes=(10, 5),
    ),
    "budget-burn": Drill(
        _freeze_tasks,
        "The API of every task hangs.",
        "replace the tasks",
        "AvailabilityBudgetBurn-1h",
        minutes=(10, 15),
    ),
}


def perform(site: Site, drill: Drill, speed: float, picture: Path | None = None) -> dict[str, Any]:
    """Run a drill; return how many minutes of AWS the alarm took to fire and to clear.

    And how many requests were sent, and lost by status.
    """
    fire_minutes, clear_minutes = drill.minutes

    def let_pass(minutes: float) -> None:
        time.sleep(minutes * 60 / speed)

    def wait(minutes: float, verb: str, *, fired: bool, began: float) -> float:
        what = f"{drill.alarm} did not {verb} within {minutes:g} minutes of AWS"
        seconds = minutes * 60 / speed + _PATIENCE_SECONDS
        _until(lambda: fires() == fired, what, seconds)
        return round((time.monotonic() - began) * speed / 60, 1)

    def fires() -> bool:
        # An alarm may exist once for each target group.
        names = site.in_alarm()
        return any(name == drill.alarm or name.startswith(f"{drill.alarm}-") for name in names)

    # Others may still fire after an earlier drill: the budgets' alarms look back for half an hour.
    with step("Waiting until the alarm is clear"):
        _until(lambda: site.is_steady() and not fires(), f"{drill.alarm} fires already")
    with step("Running without a fault"):
        since, sent = datetime.now(UTC), len(site.callers.outcomes)
        let_pass(minutes=2 if picture else 1)
        if fires():
            raise CommandError(f"{drill.alarm} fired before the incident.")
    with contextlib.ExitStack() as cures:
        with step(f"{drill.summary.rstrip('.')}: {drill.alarm}"):
            # If the alarm does not fire, the service is repaired as well.
            cures.callback(drill.trouble(site))
            began = time.monotonic()
            fired_after = wait(fire_minutes, "fire", fired=True, began=began)
        with step(f"Mitigation: {drill.mitigation}"):
            began = time.monotonic()
            cures.close()
            cleared_after = wait(clear_minutes, "clear", fired=False, began=began)
            _until(site.is_steady, "The service did not recover")
    if picture:
        from zama_ops.local.canary_picture import Drawing  # noqa: PLC0415 - matplotlib is optional

        with step(f"Drawing {picture}"):
            let_pass(minutes=2)
            title = (
                f"{drill.summary}\nDrill on one machine, {since:%Y-%m-%d};"
                f" {speed:g} minutes of AWS pass in a minute."
            )
            balancer = site.service.load_balancer["LoadBalancerArn"]
            Drawing(balancer, since, speed).draw(title, f"{site.service.prefix}-", picture)
    outcomes = site.callers.outcomes[sent:]
    lost = Counter(
        str(one.answer.status) if one.answer else "no answer" for one in outcomes if not one.ok
    )
    times = {"fired_after": fired_after, "cleared_after": cleared_after}
    return {"alarm": drill.alarm, **times, "requests": len(outcomes), "lost": dict(lost)}


def _until(
    condition: Callable[[], bool], what: str, seconds: float = 5 * _PATIENCE_SECONDS
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise CommandError(f"{what}.")
        time.sleep(0.2)


@contextlib.contextmanager
def _under_load(prefix: str, rate: float, speed: float) -> Iterator[Site]:
    site = Site(prefix, rate)
    before = site.set_speed(speed)
    try:
        with site.callers:
            yield site
    finally:
        site.set_speed(before)


def _table(results: list[dict[str, Any]]) -> Table:
    columns = ("drill", "alarm", "fired after", "mitigation", "cleared after", "lost requests")
    table = Table(*columns)
    for one in results:
        fired, cleared = (f"{one[key]} min" for key in ("fired_after", "cleared_after"))
        drill, lost = DRILLS[one["drill"]], f"{sum(one['lost'].values())} of {one['requests']}"
        table.add_row(one["drill"], drill.alarm, fired, drill.mitigation, cleared, lost)
    return table


app: Final = typer.Typer(
    help="Cause an incident in the deployment of `make aws-local`, and see its alarm.\n\n"
    "The emulated CloudWatch evaluates the alarms of terraform/ on the metrics of real containers"
    ' under constant load. First run: eval "$(zama aws-local env)". Exit code 1: an alarm did not'
    " fire or clear in time.",
    no_args_is_help=True,
)


def command(names: list[str]) -> Callable[..., None]:
    """Return the command that runs these drills, one after another."""

    def play(
        *,
        prefix: Prefix = PREFIX,
        speed: Annotated[
            float, typer.Option(min=1, max=60, help="Minutes of AWS in a minute.")
        ] = 5,
        rate: Annotated[float, typer.Option(min=1, max=100, help="Requests/s.")] = 8,
        picture: Picture = None,
        as_json: AsJson = False,
    ) -> None:
        # Repair the service on SIGTERM, as on Ctrl-C.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        results: list[dict[str, Any]] = []
        with errors_told():
            require("docker")
            require_drawable(picture)
            with _under_load(prefix, rate, speed) as site:
                try:
                    results.extend(
                        {"drill": one, **perform(site, DRILLS[one], speed, picture)}
                        for one in names
                    )
                finally:
                    # Also if a later drill fails.
                    show({"speed": speed, "drills": results}, _table(results), as_json=as_json)

    return play


for _name, _one in DRILLS.items():
    _play = command([_name])
    _play.__doc__ = f"{_one.summary}\n\nFires {_one.alarm}. Mitigation: {_one.mitigation}."
    app.command(_name)(_play)
_play = command([*DRILLS])
_play.__doc__ = "Run all of these drills."
app.command("all")(_play)
