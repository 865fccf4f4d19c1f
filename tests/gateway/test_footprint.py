"""What the API costs to keep: its memory, before and after much work."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stack import Part, Process, ProcessStack

REQUESTS = 100_000
SCRIPT = """
wrk.method = "POST"
wrk.body = '{"a": 2, "b": 40}'
wrk.headers["Content-Type"] = "application/json"
local sent = 0
"""


def resident_mib(part: Process) -> float:
    """Return the resident memory of a process."""
    return int(part.status("VmRSS").removesuffix(" kB")) / 1024


def answered(part: Part, script: Path) -> int:
    """Load the API for some seconds and return how many requests it answered."""
    command = ["wrk", "-t1", "-c32", "-d4", "-s", str(script), f"{part.url}/sum"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Non-2xx" not in done.stdout
    assert "Socket errors" not in done.stdout
    match = re.search(r"(\d+) requests in", done.stdout)
    assert match
    return int(match[1])


@pytest.mark.needs("wrk")
def test_memory_is_small_and_flat(
    processes: ProcessStack, tmp_path: Path, report: Callable[[str], None]
) -> None:
    """Under 64 MiB after 100,000 requests, and not growing over the next ones."""
    script = tmp_path / "sum.lua"
    script.write_text(SCRIPT)
    api = processes.start_api()
    count = 0
    while count < REQUESTS:
        count += answered(api, script)
    early = resident_mib(api)
    assert early < 64
    more = sum(answered(api, script) for _ in range(3))
    late = resident_mib(api)
    report(f"API: {early:.1f} MiB after {count} requests, {late:.1f} MiB after {count + more}")
    assert late < early + 2
