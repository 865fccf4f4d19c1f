"""The load: `POST /sum` on kept-alive connections, by wrk."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONNECTIONS: Final = 32
_SCRIPT: Final = """\
wrk.method = "POST"
wrk.body = '{"a": 2, "b": 40}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Api-Key"] = "CHANGEME"
"""
_MILLISECONDS: Final = {"us": 0.001, "ms": 1, "s": 1000}


@dataclass(frozen=True)
class Turn:
    """What one turn of load gave: throughput, and the 99th percentile of latency."""

    requests_per_second: float
    p99_ms: float


def load(url: str, seconds: int, directory: Path, prefix: Sequence[str] = ()) -> Turn:
    """Load a service; `prefix` is put before the command, to choose its core.

    Raises:
        RuntimeError: some requests failed.

    """
    script = directory / "sum.lua"
    script.write_text(_SCRIPT)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--latency", "-s", str(script)]
    done = subprocess.run(
        [*prefix, *command, f"{url}/sum"], capture_output=True, text=True, check=True
    )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    if not (rate and p99) or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"{url} did not answer all requests:\n{done.stdout}")
    return Turn(float(rate[1]), float(p99[1]) * _MILLISECONDS[p99[2]])
