"""The API's stopping time on its share of a small task, 0.15 vCPU."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

import measure
from compose import ComposeStack, Container
from engine import inspect
from stack import Report
from zama_ops.programs import run, wait_until

pytestmark = pytest.mark.alone

TRIES = 5
LOAD_SECONDS = 3
# Containers at a time: together they need less than one core.
BESIDE = 3


def stop(container: Container) -> int:
    """Stop a container, kill it after ten seconds, and return its exit code."""
    run("docker", "stop", "--time", "10", container.id)
    code: int = inspect(container.id)[0]["State"]["ExitCode"]
    return code


def wait_for_program(container: Container) -> None:
    """Wait until process 1 has started the program; before, no container can receive a signal."""

    def is_started() -> bool:
        _title, _init, *programs = run("docker", "top", container.id).splitlines()
        return bool(programs)

    wait_until(is_started, "the program starts")


@pytest.mark.needs("wrk")
def test_the_process_ends_within_a_second_of_its_last_line(
    stack: ComposeStack, tmp_path: Path, report: Report
) -> None:
    """After seconds of full load, the exit itself is fast."""

    def seconds_after_stopped(_: int) -> float:
        container = stack.start_api(DRAIN_SECONDS="1")
        directory = tmp_path / container.id
        directory.mkdir()
        measure.load(container.url, LOAD_SECONDS, directory)
        assert stop(container) == 0
        stopped = container.lines()[-1]
        assert stopped["event"] == "stopped"
        finished = datetime.fromisoformat(inspect(container.id)[0]["State"]["FinishedAt"])
        return (finished - datetime.fromisoformat(stopped["time"])).total_seconds()

    with ThreadPoolExecutor() as pool:
        seconds = sorted(pool.map(seconds_after_stopped, range(TRIES)))
    report(f"from `stopped` to the end of the process at 0.15 vCPU: at most {seconds[-1]:.2f} s")
    assert seconds[-1] < 1


def test_a_stop_during_the_start_takes_effect_at_once(stack: ComposeStack, report: Report) -> None:
    """A stop works at any moment from the start of the program to the end of the warm-up."""

    def most_seconds(moments: range) -> float:
        container = stack.start_api(READY_DELAY_SECONDS="20", DRAIN_SECONDS="5")
        assert stop(container) == 0
        seconds = []
        for tenths in moments:
            run("docker", "start", container.id)
            wait_for_program(container)
            # The tries differ in the moment of the stop.
            time.sleep(tenths / 10)
            began = time.monotonic()
            # 143: the signal arrived before the program's first line.
            assert stop(container) in {0, 128 + signal.SIGTERM}
            seconds.append(time.monotonic() - began)
        return max(seconds)

    with ThreadPoolExecutor() as pool:
        slowest = max(pool.map(most_seconds, [range(first, 12, BESIDE) for first in range(BESIDE)]))
    report(f"a stop during the start at 0.15 vCPU: at most {slowest:.2f} s")
    assert slowest < 2
