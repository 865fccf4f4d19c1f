"""Constant load by wrk, and when and how each request was answered."""

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

_SCRIPT: Final = Path(__file__).with_name("load_generator.lua")
_ANSWER: Final = re.compile(r"\d+ (\d+) (\d+) (\d+)\n")
_PERCENTILES: Final = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "max": 100}
# How long after the last request its answer is waited for.
_GRACE_SECONDS: Final = 5


@dataclass(frozen=True)
class Answer:
    """An answer: when its request was due, its status, and how long after that it was there."""

    due_seconds: float
    status: int
    milliseconds: float


@dataclass(frozen=True)
class Plan:
    """What is asked for: `rate` requests a second, at most `connections` of them at once."""

    url: str
    rate: float
    seconds: float
    connections: int

    @property
    def requests(self) -> int:
        """How many requests that makes."""
        return max(1, round(self.rate * self.seconds))


def measure(plan: Plan, key: str, prefix: Sequence[str] = ()) -> list[Answer]:
    """Return the answers, which are read when all is over, so that nothing else takes CPU time.

    Arguments:
        plan: what to send.
        key: a valid API key.
        prefix: put before wrk's command, such as to choose its core.

    """
    with tempfile.TemporaryFile("w+") as output:
        command = [*prefix, *_command(plan, None)]
        subprocess.run(command, env=_environ(plan, key, "full"), stdout=output, check=True)
        output.seek(0)
        return list(_read(output))


def answers(plan: Plan, key: str, connect_to: str | None) -> Iterator[Answer]:
    """Send the requests and yield the answers as they come."""
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
    # Connections over the number of requests would have nothing to send.
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
    }


def _read(lines: Iterable[str]) -> Iterator[Answer]:
    """Yield the answers among what load.lua and wrk print."""
    for line in lines:
        if match := _ANSWER.fullmatch(line):
            due, status, latency = map(int, match.groups())
            yield Answer(due / 1e6, status, latency / 1e3)


def percentiles(milliseconds: list[float]) -> dict[str, float]:
    """Return the percentiles by their names, by nearest rank; none of nothing."""
    ordered = sorted(milliseconds)
    return {
        name: ordered[math.ceil(len(ordered) * percent / 100) - 1]
        for name, percent in _PERCENTILES.items()
        if ordered
    }
