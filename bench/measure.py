"""Shared parts of the comparisons: options, load, and the spread of ratios.

The load is `POST /sum` on keep-alive connections, sent by wrk.
"""

import argparse
import re
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONNECTIONS: Final = 32
_SCRIPT: Final = """\
wrk.method = "POST"
wrk.body = '{"a": 2, "b": 40}PADDING'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Api-Key"] = "CHANGEME"
"""
_MILLISECONDS: Final = {"us": 0.001, "ms": 1, "s": 1000}


@dataclass(frozen=True)
class Turn:
    """The result of one turn: requests, throughput, and 99th percentile of latency."""

    requests: int
    requests_per_second: float
    p99_ms: float


def options(
    description: str, rounds: int, seconds: int, tools: Sequence[str]
) -> argparse.Namespace:
    """Read `--rounds`, `--seconds` and `--json`; exit with a message if a tool is missing."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    for name, default, what in (
        ("--rounds", rounds, "number of rounds"),
        ("--seconds", seconds, "seconds of load per turn"),
    ):
        parser.add_argument(name, type=int, default=default, help=f"{what} (default {default})")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    chosen = parser.parse_args()
    for tool in tools:
        if shutil.which(tool) is None:
            parser.error(f"there is no {tool} on the PATH")
    return chosen


def spread(ratios: Sequence[float]) -> dict[str, float]:
    """Return the median, smallest and largest ratio of the rounds, and their number."""
    return {
        "median": statistics.median(ratios),
        "min": min(ratios),
        "max": max(ratios),
        "rounds": len(ratios),
    }


def load(  # noqa: PLR0913 - each but the first three has a plain default
    url: str,
    seconds: int,
    directory: Path,
    prefix: Sequence[str] = (),
    *,
    connections: int = CONNECTIONS,
    padding: int = 0,
) -> Turn:
    """Load a service.

    Arguments:
        url: the service's URL.
        seconds: the load's duration.
        directory: for wrk's script.
        prefix: a command to run wrk with, to choose its core.
        connections: the number of keep-alive connections, each with one request at a time.
        padding: the number of spaces after the JSON, for a larger body.

    Raises:
        RuntimeError: some requests failed.

    """
    script = directory / "sum.lua"
    script.write_text(_SCRIPT.replace("PADDING", " " * padding))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", str(script)]
    done = subprocess.run(
        [*prefix, *command, f"{url}/sum"], capture_output=True, text=True, check=True
    )
    requests = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    if (
        not (requests and rate and p99)
        or "Non-2xx" in done.stdout
        or "Socket errors" in done.stdout
    ):
        raise RuntimeError(f"{url} did not answer all requests:\n{done.stdout}")
    return Turn(int(requests[1]), float(rate[1]), float(p99[1]) * _MILLISECONDS[p99[2]])
