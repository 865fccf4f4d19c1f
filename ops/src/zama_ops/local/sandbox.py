"""The environment of a drill: the real API and gateway, callers, and a real Prometheus.

Prometheus uses the scrape configuration and the rules of observability/prometheus. All windows,
`for` durations and intervals are divided by a speed; thresholds do not change.
"""

import functools
import re
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import yaml

from zama_ops.callers import Callers
from zama_ops.http_client import HttpClient
from zama_ops.pair import (
    HOST,
    PLAIN,
    settings,
    start_api,
    start_gateway,
    start_gateway_metrics,
)
from zama_ops.paths import OBSERVABILITY
from zama_ops.programs import Programs, free_port

PROMETHEUS: Final = OBSERVABILITY / "prometheus"
KEY: Final = "the-key-that-callers-have"
NO_LIMIT: Final = 100_000

# Grafana's value of $__rate_interval: four scrapes.
_RATE_INTERVAL: Final = "1m"
_PROMETHEUS_START_SECONDS: Final = 30
_MILLISECONDS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Alert(NamedTuple):
    """A Prometheus alert: its name, and its window if there are several."""

    name: str
    window: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.window})" if self.window else self.name


class Task:
    """An API, its gateway, and the program that counts the gateway's requests."""

    def __init__(self, programs: Programs, rate_limit: int) -> None:
        self.api_port, self.gateway_port, self._metrics_port = (free_port() for _ in range(3))
        self._programs = programs
        self._rate_limit = str(rate_limit)
        self.start_api()
        self.start_counter()
        self.start_gateway()

    @property
    def targets(self) -> dict[str, str]:
        """The addresses for Prometheus, by job."""
        return {"api": f"{HOST}:{self.api_port}", "gateway": f"{HOST}:{self._metrics_port}"}

    def start_api(self) -> None:
        """Start the API."""
        self.api = start_api(self._programs, self.api_port, self._settings())

    def start_counter(self) -> None:
        """Start the program that counts the gateway's requests."""
        self.counter = start_gateway_metrics(self._programs, self._metrics_port, self._settings())

    def start_gateway(self, keys: str = f"callers={KEY}", api_port: int | None = None) -> None:
        """Start the gateway; other keys or another API port can be given."""
        self.gateway = start_gateway(
            self._programs,
            self.gateway_port,
            api_port or self.api_port,
            {**self._settings(), "API_KEYS": keys},
        )

    def restart_gateway(self, keys: str = f"callers={KEY}", api_port: int | None = None) -> None:
        """Stop the gateway, as a deployment does, and start it with these settings."""
        self.gateway.process.terminate()
        self.gateway.process.wait()
        self.start_gateway(keys, api_port)

    def _settings(self) -> Mapping[str, str]:
        return settings(
            {
                **PLAIN,
                "PORT": str(self.api_port),
                "LISTEN_PORT": str(self.gateway_port),
                "METRICS_PORT": str(self._metrics_port),
                "RATE_LIMIT": self._rate_limit,
                "RATE_BURST": self._rate_limit,
                "API_KEYS": f"callers={KEY}",
                "DRAIN_SECONDS": "0",
            }
        )


@dataclass
class Sandbox:
    """A running sandbox; as a context manager it ends everything that it started.

    Rates are in requests/s. Callers call the first of the tasks.
    """

    speed: float
    task_count: int
    rate: float
    rate_limit: int
    tasks: list[Task] = field(init=False)
    callers: Callers = field(init=False)
    prometheus: str = field(init=False)
    _ends: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            directory = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="zama-drill-")))
            programs = ends.enter_context(Programs(directory))
            self.tasks = [Task(programs, self.rate_limit) for _ in range(self.task_count)]
            self.prometheus = self._start_prometheus(programs)
            url = f"http://{HOST}:{self.tasks[0].gateway_port}"
            headers = {"Content-Type": "application/json", "X-Api-Key": KEY}
            client = HttpClient(url, headers, timeout=10)
            self.callers = ends.enter_context(Callers(client, self.rate, count=1))
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def alerts(self) -> dict[Alert, str]:
        """Return Prometheus's alerts but the heartbeat, each with its state: pending or firing."""
        answer = HttpClient(self.prometheus, timeout=10).send("GET", "/api/v1/alerts")
        alerts = answer.json()["data"]["alerts"]
        return {
            Alert(alert["labels"]["alertname"], alert["labels"].get("window", "")): alert["state"]
            for alert in alerts
            if alert["labels"]["severity"] != "none"
        }

    def evaluated_seconds(self) -> float:
        """Return for how many seconds of the rules' time Prometheus has evaluated the alerts.

        On a busy machine it skips evaluations, so this is less than the time that has passed.
        """
        text = HttpClient(self.prometheus, timeout=10).send("GET", "/metrics").body.decode()
        found = re.findall(
            r'^prometheus_rule_group_iterations_(?:missed_)?total{[^}]*;service"} (\d+)',
            text,
            re.MULTILINE,
        )
        # Skipped evaluations are in both counters: the smaller is the skipped ones'.
        scheduled, skipped = sorted(map(int, found), reverse=True)
        return (scheduled - skipped) * _interval_seconds()

    def let_pass(self, minutes: float) -> None:
        """Wait for this many minutes of the rules' time."""
        time.sleep(minutes * 60 / self.speed)

    def _start_prometheus(self, programs: Programs) -> str:
        config = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
        del config["alerting"]
        config["global"] = {
            name: faster(duration, self.speed) for name, duration in config["global"].items()
        }
        # A long timeout: a scrape must not fail because this machine is busy.
        config["global"]["scrape_timeout"] = config["global"]["scrape_interval"]
        config["rule_files"] = ["*.rules.yaml"]
        for job in config["scrape_configs"]:
            targets = [task.targets[job["job_name"]] for task in self.tasks]
            job["static_configs"] = [{"targets": targets}]
        file = programs.directory / "prometheus.yaml"
        file.write_text(yaml.safe_dump(config))
        for rules in (PROMETHEUS / "rules").iterdir():
            text = yaml.safe_dump(faster_rules(yaml.safe_load(rules.read_text()), self.speed))
            (programs.directory / f"{rules.stem}.rules.yaml").write_text(text)

        address = f"{HOST}:{free_port()}"
        command = [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={programs.directory / 'data'}",
            f"--web.listen-address={address}",
        ]
        program = programs.start("prometheus", command, {})
        prometheus = HttpClient(f"http://{address}")
        program.wait_until(lambda: prometheus.is_ready("/-/ready"), _PROMETHEUS_START_SECONDS)
        return prometheus.url


@functools.cache
def _interval_seconds() -> int:
    (group,) = yaml.safe_load((PROMETHEUS / "rules" / "service.yaml").read_text())["groups"]
    return int(group["interval"].removesuffix("s"))


def faster(duration: str, speed: float) -> str:
    """Return a Prometheus duration divided by `speed`."""
    return f"{max(1, round(int(duration[:-1]) * _MILLISECONDS[duration[-1]] / speed))}ms"


def expressions(panel: Mapping[str, Any]) -> list[str]:
    """Return a panel's PromQL expressions, with Grafana's variable replaced."""
    return [
        target["expr"].replace("$__rate_interval", _RATE_INTERVAL) for target in panel["targets"]
    ]


def faster_expression(expression: str, speed: float) -> str:
    """Return PromQL whose ranges, and the steps within them, are divided by `speed`."""
    return re.sub(
        r"(?<=[\[:])[0-9]+[smhd](?=[\]:])", lambda match: faster(match[0], speed), expression
    )


def faster_rules(rules: Any, speed: float) -> Any:
    """Return the contents of a rules file with all durations divided by `speed`."""
    for group in rules["groups"]:
        group["interval"] = faster(group["interval"], speed)
        for rule in group["rules"]:
            rule["expr"] = faster_expression(rule["expr"], speed)
            if "for" in rule:
                rule["for"] = faster(rule["for"], speed)
    return rules
