"""Whatever is logged becomes one JSON object on one line."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from in_process import at_once
from zama_api.logs import Handler, Log, Request

Logged = Callable[[], list[dict[str, Any]]]
Finished = Callable[..., Request]

LEVELS = ["debug", "info", "warning", "error"]


@pytest.fixture
def library(log: Log) -> Iterator[logging.Logger]:
    """Make a library's logger whose records go to `log`."""
    logger = logging.getLogger("_library")
    logger.setLevel(logging.DEBUG)
    handler = Handler(log)
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


def test_an_event_has_the_common_fields_and_its_own(log: Log, logged: Logged) -> None:
    """An event tells when, how grave, who, what and, if any, in which request."""
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
def test_what_is_below_the_level_is_not_written(
    log_file: int, logged: Logged, finished: Finished, threshold: str
) -> None:
    """The log level holds for events and access lines alike."""
    log = Log(threshold, log_file)
    for level in LEVELS:
        log.event(level, "event")
    log.requests([finished(level=level, event="request") for level in LEVELS])

    written = LEVELS[LEVELS.index(threshold) :]
    assert [(line["event"], line["level"]) for line in logged()] == [
        (event, level) for event in ("event", "request") for level in written
    ]


def test_access_lines_are_written_in_one_go(
    log: Log, logged: Logged, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch costs one system call, however long it is, and keeps its order."""
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


def test_lines_stay_whole_when_the_pipe_takes_them_in_pieces(
    log: Log, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that log at once to a slow reader do not cut each other's lines."""
    write = os.write

    def write_a_piece(file: int, data: bytes) -> int:
        time.sleep(0.0001)  # Others may go on.
        return write(file, data[:7])

    def work(name: int) -> None:
        for number in range(10):
            log.event("info", f"event-{name}-{number}")

    monkeypatch.setattr(os, "write", write_a_piece)
    at_once(work)

    assert {line["event"] for line in logged()} == {
        f"event-{name}-{number}" for name in range(4) for number in range(10)
    }


def test_a_log_that_nobody_takes_does_not_stop_the_service(finished: Finished) -> None:
    """A reader that went away and a full disk cost the lines, and nothing else."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone, Path("/dev/full").open("wb") as full:
        for file in (gone, full):
            log = Log("info", file.fileno())
            log.event("info", "lost")
            log.requests([finished(), finished()])


@pytest.mark.parametrize(
    ("number", "level"),
    [
        *((getattr(logging, level.upper()), level) for level in LEVELS),
        (logging.CRITICAL, "error"),
        (logging.INFO + 5, "error"),
    ],
)
def test_a_librarys_record_takes_the_shape_of_the_other_lines(
    library: logging.Logger, logged: Logged, number: int, level: str
) -> None:
    """A record's logger becomes the event; a level that is unknown here counts as error."""
    library.log(number, "worker-%d failed", 1)

    (line,) = logged()
    del line["time"]
    assert line == {
        "level": level,
        "service": "api",
        "event": "library",
        "request_id": "",
        "message": "worker-1 failed",
    }


def test_a_librarys_exception_stays_on_its_line(library: logging.Logger, logged: Logged) -> None:
    """A traceback has many lines and is logged on one."""
    try:
        int("no number")
    except ValueError:
        library.exception("failed")

    (line,) = logged()
    assert line["message"].startswith("failed\nTraceback (most recent call last):\n")
    assert "ValueError: invalid literal" in line["message"]
