"""Constant load with wrk, and the answer to each request."""

import math
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from zama_ops.contract_checks import SUM
from zama_ops.http_client import USER_AGENT

_SCRIPT: Final = Path(__file__).with_name("load_generator.lua")
_ANSWER: Final = re.compile(r"\d+ (\d+) (\d+) (\d+)\n")
_PERCENTILES: Final = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "max": 100}
# The wait for answers after the last request.
_GRACE_SECONDS: Final = 5


@dataclass(frozen=True)
class TimedAnswer:
    """An answer: when its request was due, its status, and its latency from that moment."""

    due_seconds: float
    status: int
    milliseconds: float


@dataclass(frozen=True)
class Plan:
    """A load: `rate` requests a second, at most `connections` of them at once."""

    url: str
    rate: float
    seconds: float
    connections: int

    @property
    def requests(self) -> int:
        """The number of requests."""
        return max(1, round(self.rate * self.seconds))


def measure(plan: Plan, key: str, prefix: Sequence[str] = ()) -> list[TimedAnswer]:
    """Return the answers; they are parsed afterwards, so that parsing takes no CPU time from wrk.

    `prefix` is a command to run wrk with, for example to pin it to a core.
    """
    with tempfile.TemporaryFile("w+") as output:
        command = [*prefix, *_command(plan, None)]
        subprocess.run(command, env=_environ(plan, key, "full"), stdout=output, check=True)
        output.seek(0)
        return list(_read(output))


def answers(plan: Plan, key: str, connect_to: str | None) -> Iterator[TimedAnswer]:
    """Send the requests and yield the answers as they arrive."""
    with subprocess.Popen(
        _command(plan, connect_to),
        env=_environ(plan, key, "line"),
        stdout=subprocess.PIPE,
        text=True,
    ) as wrk:
        assert wrk.stdout  # noqa: S101 - for mypy
        for seen, answer in enumerate(_read(wrk.stdout), 1):
            yield answer
            if seen == plan.requests:
                wrk.send_signal(signal.SIGINT)


def _command(plan: Plan, connect_to: str | None) -> list[str]:
    parts = urlsplit(plan.url)
    # More connections than requests would be idle.
    command = ["wrk", "--threads=1", f"--connections={min(plan.connections, plan.requests)}"]
    command += [f"--duration={math.ceil(plan.seconds) + _GRACE_SECONDS}", f"--script={_SCRIPT}"]
    return [*command, f"{parts.scheme}://{connect_to or parts.netloc}/sum"]


def _environ(plan: Plan, key: str, buffering: str) -> dict[str, str]:
    return {
        **os.environ,
        "API_KEY": key,
        "BODY": SUM.decode(),
        "BUFFERING": buffering,
        "HOST_HEADER": urlsplit(plan.url).netloc,
        "RATE": str(plan.rate),
        "REQUESTS": str(plan.requests),
        "USER_AGENT": USER_AGENT,
    }


def _read(lines: Iterable[str]) -> Iterator[TimedAnswer]:
    for line in lines:
        if match := _ANSWER.fullmatch(line):
            due, status, latency = map(int, match.groups())
            yield TimedAnswer(due / 1e6, status, latency / 1e3)


def percentiles(milliseconds: list[float]) -> dict[str, float]:
    """Return the percentiles by name (nearest rank); empty if there are no values."""
    ordered = sorted(milliseconds)
    return {
        name: ordered[math.ceil(len(ordered) * percent / 100) - 1]
        for name, percent in _PERCENTILES.items()
        if ordered
    }
