"""Metrics have the values, and the gaps, that AWS documents."""

import asyncio
import base64
import threading
import time
from unittest.mock import Mock

import pytest
import requests
from botocore.exceptions import ClientError
from docker.errors import NotFound
from empty_account import empty_account
from ministack.services import ecs
from moto.amp.models import amp_backends

from zama_emulator import ACCOUNT, REGION, heartbeats, moto_services, traffic
from zama_emulator.clock import Clock
from zama_emulator.metrics import Meter, meter
from zama_emulator.probes import Checker, Probe
from zama_emulator.traffic import count
from zama_emulator.utilisation import Reading, Utilisation, reading, use

BALANCER = "arn:aws:elasticloadbalancing:eu-west-1:0:loadbalancer/app/one/1"
GROUP = "arn:aws:elasticloadbalancing:eu-west-1:0:targetgroup/blue/2"


def counted(
    *requests: tuple[str | None, int, float | None], of_group: bool = False
) -> dict[str, float]:
    """Return the totals of the metrics of these requests: group, status, and seconds if a target answered."""
    meter = Meter()
    for group, status, seconds in requests:
        count(meter, BALANCER, group, status, seconds)
    return {
        metric.name: sum(value * number for value, number in values.items())
        for metric, values in meter.take().items()
        if of_group == ("TargetGroup" in dict(metric.dimensions))
    }


def test_a_target_s_answers_are_counted_by_class() -> None:
    """Classes without an answer are zero, and the load balancer's own metrics have no data."""
    totals = counted((GROUP, 200, 0.25), (GROUP, 200, 0.5), (GROUP, 503, 0.25))
    assert totals == {
        "RequestCount": 3,
        "HTTPCode_Target_2XX_Count": 2,
        "HTTPCode_Target_3XX_Count": 0,
        "HTTPCode_Target_4XX_Count": 0,
        "HTTPCode_Target_5XX_Count": 1,
        "TargetResponseTime": 1.0,
    }
    assert counted((GROUP, 200, 0.25), of_group=True)["RequestCount"] == 1


def test_a_request_without_a_target_is_not_in_the_request_count() -> None:
    """The load balancer's own error is counted by class and by code, without a response time."""
    assert counted((None, 503, None)) == {"HTTPCode_ELB_5XX_Count": 1, "HTTPCode_ELB_503_Count": 1}
    assert counted((None, 301, None)) == {"HTTPCode_ELB_3XX_Count": 1}


def test_a_failed_connection_counts_as_a_request_and_as_the_load_balancer_s_error() -> None:
    """A target was chosen, but it did not answer."""
    totals = counted((GROUP, 502, None))
    assert totals["RequestCount"] == totals["TargetConnectionErrorCount"] == 1
    assert totals["HTTPCode_ELB_502_Count"] == totals["HTTPCode_ELB_5XX_Count"] == 1
    assert "HTTPCode_Target_5XX_Count" not in totals


def test_a_response_time_is_the_target_s_alone() -> None:
    """It ends with the response's headers, and leaves out the emulator's own work."""

    async def forward(_target: object, _group: object) -> str:
        await asyncio.to_thread(traffic.response, lambda _: time.sleep(0.05), None)
        time.sleep(0.5)  # noqa: ASYNC251 - the emulator is busy
        return "answer"

    async def send() -> float:
        route = traffic.Route()
        traffic.current.set(route)
        assert await traffic.proxy(forward, {}, {"TargetGroupArn": GROUP}) == "answer"
        assert route.group == GROUP
        return route.seconds

    assert 0.05 <= asyncio.run(send()) < 0.5


def test_a_task_s_use_is_the_sum_of_its_containers() -> None:
    """CPU is the difference of two readings; memory excludes the reclaimable page cache."""
    before = [Reading(1.0, 0, 10.0), Reading(5.0, 0, 10.0)]
    statistics = {
        "cpu_stats": {"cpu_usage": {"total_usage": 6_000_000_000}},
        "memory_stats": {"usage": 1000, "stats": {"inactive_file": 400}},
    }
    used = use(before, [Reading(2.0, 100, 12.0), reading(statistics, 12.0)])
    assert used.cpus == pytest.approx(1.0)
    assert used.memory_bytes == 700


@pytest.mark.parametrize(
    "error",
    [NotFound("no such container"), requests.JSONDecodeError("empty", "", 0), KeyError("usage")],
)
def test_a_container_that_ends_while_it_is_read_has_no_use(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are read."""
    docker = Mock()
    docker.containers.get.return_value.stats.side_effect = error
    monkeypatch.setattr(ecs, "_get_docker", lambda: docker)
    monkeypatch.setattr(
        ecs, "_tasks", {"task": {"lastStatus": "RUNNING", "_docker_ids": ["container"]}}
    )
    Utilisation().read()
    docker.containers.get.assert_called_once_with("container")


def test_a_health_check_needs_several_failures_and_few_healthy_checkers() -> None:
    """A checker changes its opinion after the threshold; 18 % healthy checkers are enough."""
    probe = Probe({region: Checker() for region in "abcde"})
    for checker in [*probe.checkers.values()][1:]:
        for _ in range(2):
            checker.learn(passed=False, threshold=3)
    assert probe.percentage() == 100
    for checker in [*probe.checkers.values()][1:]:
        checker.learn(passed=False, threshold=3)
    assert (probe.percentage(), probe.healthy()) == (20, True)
    for _ in range(3):
        probe.checkers["a"].learn(passed=False, threshold=3)
    assert not probe.healthy()
    for _ in range(3):
        probe.checkers["a"].learn(passed=True, threshold=3)
    assert probe.healthy()


def test_a_wait_follows_the_clock_s_speed() -> None:
    """A change of the speed shortens the current wait."""
    clock = Clock()
    waiting = threading.Thread(target=clock.wait, args=(time.time(), 600))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    clock.set(600)
    waiting.join(30)
    assert not waiting.is_alive()
    with pytest.raises(ValueError, match="from 1 to 600"):
        clock.set(0.5)


def test_log_lines_count_for_their_group_and_for_the_filters_that_match() -> None:
    """Null is no value, and a line that is not JSON matches nothing."""
    account = empty_account()
    group = {"logGroupName": "/counted"}
    account.call("logs", "CreateLogGroup", group)
    account.call("logs", "CreateLogStream", {**group, "logStreamName": "one"})
    metric = {"metricName": "Late", "metricNamespace": "Own", "metricValue": "1"}
    late = {
        **group,
        "filterName": "late",
        "filterPattern": '{ $.service = "nginx" && $.status != 200 && $.upstream_ms >= 1000 }',
        "metricTransformations": [metric],
    }
    account.call("logs", "PutMetricFilter", late)
    lines = [
        '{"service": "nginx", "status": 499, "upstream_ms": 1000}',
        '{"service": "nginx", "status": 499, "upstream_ms": 999}',
        '{"service": "nginx", "status": 499, "upstream_ms": null}',
        '{"service": "nginx", "status": 200, "upstream_ms": 1000}',
        '{"service": "api", "status": 499, "upstream_ms": 1000}',
        "starting",
        "1",
    ]
    meter.take()
    events = [{"timestamp": round(time.time() * 1000), "message": line} for line in lines]
    account.call("logs", "PutLogEvents", {**group, "logStreamName": "one", "logEvents": events})
    counted = {one.name: sum(values.values()) for one, values in meter.take().items()}
    assert counted == {"IncomingLogEvents": 7, "Late": 1}


def test_a_pattern_that_is_not_understood_is_refused() -> None:
    """Otherwise its metric would be silently empty."""
    account = empty_account()
    account.call("logs", "CreateLogGroup", {"logGroupName": "/patterns"})
    metric = {"metricName": "a", "metricNamespace": "b", "metricValue": "1"}
    given = {"logGroupName": "/patterns", "filterName": "a", "metricTransformations": [metric]}
    pattern = '{ $.service = "nginx" && $.status IS NULL }'
    with pytest.raises(ClientError, match="unsupported condition"):
        account.call("logs", "PutMetricFilter", {**given, "filterPattern": pattern})


def test_an_alert_that_always_fires_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """SNS counts it as long as the workspace has the rule and Alertmanager's definition."""
    arn = "arn:aws:sns:eu-west-1:0:beats"
    routes = """{receiver: none, routes: [{receiver: beat, matchers: ['severity = "none"']}]}"""
    receivers = f"[{{name: beat, sns_configs: [{{topic_arn: '{arn}'}}]}}, {{name: none}}]"
    alertmanager = f"alertmanager_config: |\n  route: {routes}\n  receivers: {receivers}\n"
    rules = b"groups: [{name: a, rules: [{alert: Beat, expr: up, labels: {severity: none}}]}]"

    def messages() -> list[tuple[tuple[str, str], ...]]:
        into = Meter()
        heartbeats.publish(into)
        return [metric.dimensions for metric in into.take()]

    backend = amp_backends[ACCOUNT][REGION]
    workspace = backend.create_workspace(alias="a", tags={}).workspace_id
    definition = base64.b64encode(alertmanager.encode()).decode()
    monkeypatch.setitem(moto_services._alert_managers, workspace, definition)
    assert messages() == []
    backend.create_rule_groups_namespace(base64.b64encode(rules).decode(), "a", {}, workspace)
    assert messages() == [(("TopicName", "beats"),)]
    monkeypatch.delitem(moto_services._alert_managers, workspace)
    assert messages() == []
    backend.workspaces.pop(workspace)
