"""The API's memory, before and after many requests."""

from pathlib import Path

import pytest

import measure
from stack import Process, ProcessStack, Report, kernel_says

REQUESTS = 100_000
SECONDS = 4


def resident_mib(part: Process) -> float:
    return int(kernel_says(part.process.pid)["VmRSS"].removesuffix(" kB")) / 1024


@pytest.mark.needs("wrk")
def test_memory_is_small_and_flat(apis: ProcessStack, tmp_path: Path, report: Report) -> None:
    """It is under 64 MiB after 100,000 requests and does not grow after that."""
    api = apis.start_api()

    def answered() -> int:
        return measure.load(api.url, SECONDS, tmp_path).requests

    count = 0
    while count < REQUESTS:
        count += answered()
    early = resident_mib(api)
    assert early < 64
    more = sum(answered() for _ in range(3))
    late = resident_mib(api)
    report(f"API: {early:.1f} MiB after {count} requests, {late:.1f} MiB after {count + more}")
    assert late < early + 2
