"""What a drill plays on: the real parts, somebody who calls them, and a real Prometheus.

Prometheus has the scrape configuration and the rules of observability/prometheus, with all their
windows, waiting times and intervals divided by a speed; thresholds are as they are.
"""

import json
import re
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import yaml

from zama_ops.programs import Program, Programs, answers, free_port
from zama_ops.slo import OBSERVABILITY
from zama_ops.up import ENTRYPOINT, settings

PROMETHEUS: Final = OBSERVABILITY / "prometheus"
KEY: Final = "the-key-that-callers-have"
NO_LIMIT: Final = 100_000

_HOST: Final = "127.0.0.1"
_PROMETHEUS_START_SECONDS: Final = 30
_MILLISECONDS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Alert(NamedTuple):
    """An alert of Prometheus': its name, and the window that it looks at if there are several."""

    name: str
    window: str = ""

    def __str__(self) -> str:
        """Return it as a person would say it."""
        return f"{self.name} ({self.window})" if self.window else self.name


class Callers:
    """Somebody who asks for a sum `rate` times a second, whatever comes back."""

    def __init__(self, url: str, rate: float) -> None:
        self.rate = rate
        self._request = urllib.request.Request(
            f"{url}/sum",
            b'{"a": 2, "b": 40}',
            {"Content-Type": "application/json", "X-Api-Key": KEY},
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._call)

    def __enter__(self) -> Self:
        """Call until the block ends."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Call no more."""
        self._stopped.set()
        self._thread.join()

    def _call(self) -> None:
        while True:
            # Read once, for a drill changes it meanwhile.
            rate = self.rate
            if self._stopped.wait(1 / rate if rate else 0.1):
                return
            if not rate:
                continue
            try:
                with urllib.request.urlopen(self._request, timeout=10):
                    pass
            except OSError:
                continue


class Task:
    """An API, the gateway in front of it, and what counts the gateway's requests."""

    def __init__(self, programs: Programs, rate_limit: int) -> None:
        self.api_port, self.gateway_port, self._metrics_port = (free_port() for _ in range(3))
        self._programs = programs
        self._rate_limit = str(rate_limit)
        self.start_api()
        metrics = [sys.executable, "-m", "zama_api.gateway_metrics"]
        listens = {**self._settings(), "PORT": str(self._metrics_port)}
        self._start("gateway-metrics", metrics, self._metrics_port, listens)
        self.start_gateway()

    @property
    def targets(self) -> dict[str, str]:
        """Where Prometheus finds it, by job."""
        return {"api": f"{_HOST}:{self.api_port}", "gateway": f"{_HOST}:{self._metrics_port}"}

    def start_api(self) -> None:
        """Start the API."""
        command = [sys.executable, "-m", "zama_api"]
        self.api = self._start("api", command, self.api_port, self._settings())

    def start_gateway(self, keys: str = f"callers={KEY}", api_port: int | None = None) -> None:
        """Start the gateway, with other keys or in front of another port if given."""
        environ = {
            **self._settings(),
            "API_KEYS": keys,
            "API_PORT": str(api_port or self.api_port),
        }
        self.gateway = self._start("gateway", [str(ENTRYPOINT)], self.gateway_port, environ)

    def restart_gateway(self, keys: str = f"callers={KEY}", api_port: int | None = None) -> None:
        """Stop the gateway, as a deployment does, and start it as told."""
        self.gateway.process.terminate()
        self.gateway.process.wait()
        self.start_gateway(keys, api_port)

    def _settings(self) -> Mapping[str, str]:
        # All, so that nothing of the caller's shell counts.
        return settings(
            {
                "PORT": str(self.api_port),
                "LISTEN_PORT": str(self.gateway_port),
                "METRICS_PORT": str(self._metrics_port),
                "RATE_LIMIT": self._rate_limit,
                "RATE_BURST": self._rate_limit,
                "API_KEYS": f"callers={KEY}",
                "DRAIN_SECONDS": "0",
                "LOG_LEVEL": "info",
                "ACCESS_LOG": "true",
                "REQUIRE_API_KEY": "false",
                "TRUSTED_PROXIES": "",
            }
        )

    def _start(
        self, name: str, command: list[str], port: int, environ: Mapping[str, str]
    ) -> Program:
        program = self._programs.start(name, command, environ)
        program.wait_until(lambda: answers(f"http://{_HOST}:{port}/healthz"))
        return program


@dataclass
class Stage:
    """The parts, running; as a context manager it ends all that it started.

    Arguments:
        speed: what the durations of Prometheus' rules are divided by.
        task_count: how many tasks; callers call the first.
        rate: requests/s.
        rate_limit: of the gateway, requests/s.

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
        """Start everything."""
        with ExitStack() as ends:
            directory = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="zama-drill-")))
            programs = ends.enter_context(Programs(directory))
            self.tasks = [Task(programs, self.rate_limit) for _ in range(self.task_count)]
            self.prometheus = self._start_prometheus(programs)
            url = f"http://{_HOST}:{self.tasks[0].gateway_port}"
            self.callers = ends.enter_context(Callers(url, self.rate))
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self._ends.close()

    def alerts(self) -> dict[Alert, str]:
        """Return the alerts that Prometheus has now, each with its state: pending or firing."""
        with urllib.request.urlopen(f"{self.prometheus}/api/v1/alerts", timeout=10) as answer:
            alerts = json.load(answer)["data"]["alerts"]
        return {
            Alert(alert["labels"]["alertname"], alert["labels"].get("window", "")): alert["state"]
            for alert in alerts
        }

    def let_pass(self, minutes: float) -> None:
        """Let so many minutes pass, as Prometheus' rules count them."""
        time.sleep(minutes * 60 / self.speed)

    def _start_prometheus(self, programs: Programs) -> str:
        """Start it and return its address."""
        config = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
        del config["alerting"]
        config["global"] = {
            name: faster(duration, self.speed) for name, duration in config["global"].items()
        }
        # A machine that is busy with other things is no trouble of the service's.
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

        address = f"{_HOST}:{free_port()}"
        command = [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={programs.directory / 'data'}",
            f"--web.listen-address={address}",
        ]
        program = programs.start("prometheus", command, {})
        program.wait_until(lambda: answers(f"http://{address}/-/ready"), _PROMETHEUS_START_SECONDS)
        return f"http://{address}"


def faster(duration: str, speed: float) -> str:
    """Return a Prometheus duration divided by `speed`."""
    return f"{max(1, round(int(duration[:-1]) * _MILLISECONDS[duration[-1]] / speed))}ms"


def faster_expression(expression: str, speed: float) -> str:
    """Return PromQL whose ranges, and the steps within them, are divided by `speed`."""
    return re.sub(
        r"(?<=[\[:])[0-9]+[smhd](?=[\]:])", lambda found: faster(found[0], speed), expression
    )


def faster_rules(rules: Any, speed: float) -> Any:
    """Return a file of rules with all its durations divided by `speed`."""
    for group in rules["groups"]:
        group["interval"] = faster(group["interval"], speed)
        for rule in group["rules"]:
            rule["expr"] = faster_expression(rule["expr"], speed)
            if "for" in rule:
                rule["for"] = faster(rule["for"], speed)
    return rules
