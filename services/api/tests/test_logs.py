"""Every log entry is one JSON object on one line."""

import json
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from in_process import at_once
from zama_api.logs import Log, Request

Logged = Callable[[], list[dict[str, Any]]]
Finished = Callable[..., Request]

LEVELS = ["debug", "info", "warning", "error"]


def test_an_event_has_the_common_fields_and_its_own(log: Log, logged: Logged) -> None:
    """An event has its time, level, service, name and request id, and its own fields."""
    before = datetime.now(UTC)
    log.event("warning", "late", seconds=1.5)
    after = datetime.now(UTC)

    (line,) = logged()
    time = line.pop("time")
    assert time.endswith("Z")
    assert before <= datetime.fromisoformat(time) <= after
    assert line == {
        "level": "warning",
        "service": "api",
        "event": "late",
        "request_id": "",
        "seconds": 1.5,
    }


@pytest.mark.parametrize("threshold", LEVELS)
def test_entries_below_the_level_are_not_written(
    log_file: int, logged: Logged, finished: Finished, threshold: str
) -> None:
    """The log level applies to events and access lines."""
    log = Log(threshold, log_file)
    for level in LEVELS:
        log.event(level, "event")
    log.requests([finished(level=level, event="request") for level in LEVELS])

    written = LEVELS[LEVELS.index(threshold) :]
    assert [(line["event"], line["level"]) for line in logged()] == [
        (event, level) for event in ("event", "request") for level in written
    ]


def test_access_lines_are_written_in_one_call(
    log: Log, logged: Logged, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of any size is one system call and keeps its order."""
    write = os.write
    sizes = []

    def counting_write(file_descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(file_descriptor, data)

    monkeypatch.setattr(os, "write", counting_write)
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    log.requests([finished(request_id=f"id-{number}", time=at) for number in range(100)])

    assert len(sizes) == 1
    lines = logged()
    assert [line["request_id"] for line in lines] == [f"id-{number}" for number in range(100)]
    assert {line["time"] for line in lines} == {"2026-01-02T03:04:05.678901Z"}


def test_lines_stay_whole_when_writes_are_partial(
    log: Log, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that log to a slow reader do not interleave their lines."""
    write = os.write

    def write_a_piece(file: int, data: bytes) -> int:
        time.sleep(0.0001)  # Let other threads run.
        return write(file, data[:7])

    def work(name: int) -> None:
        for number in range(10):
            log.event("info", f"event-{name}-{number}")

    monkeypatch.setattr(os, "write", write_a_piece)
    at_once(work)

    assert {line["event"] for line in logged()} == {
        f"event-{name}-{number}" for name in range(4) for number in range(10)
    }


def test_a_log_that_cannot_be_written_does_not_stop_the_service(finished: Finished) -> None:
    """A closed pipe or a full disk loses lines, and the service continues."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone, Path("/dev/full").open("wb") as full:
        for file in (gone, full):
            log = Log("info", file.fileno())
            log.event("info", "lost")
            log.requests([finished(), finished()])


def test_a_line_is_plain_ascii(log: Log, finished: Finished, log_file: int) -> None:
    """Nothing in it acts on a terminal, and the decoded line has the exact text."""
    hostile = "\0\n\r\x1b[2J\x7f\x9b2J\u202e\u2028 é \U0001f600"
    log.requests([finished(path=hostile, trace="")] * 2)
    log.event("info", "exception", traceback=hostile)
    log.event("info", "exception", traceback="\x7f")
    written = os.pread(log_file, 10_000, 0)
    assert re.fullmatch(rb"([ -~]+\n){4}", written)
    first, _, third, _ = map(json.loads, written.splitlines())
    assert first["path"] == third["traceback"] == hostile
