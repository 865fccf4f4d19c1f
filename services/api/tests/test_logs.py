"""Whatever is logged becomes one JSON object on one line."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    assert before <= datetime.fromisoformat(time) <= after
    assert line == {
        "level": "warning",
        "service": "api",
        "event": "late",
        "request_id": "",
        "seconds": 1.5,
    }


def test_times_are_rfc_3339_in_utc(log: Log, logged: Logged, finished: Finished) -> None:
    """Events and access lines write the time alike, with a Z."""
    log.event("info", "now")
    log.requests([finished(time=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC))])

    event, request = logged()
    assert event["time"].endswith("Z")
    assert datetime.fromisoformat(event["time"]).utcoffset() == timedelta(0)
    assert request["time"] == "2026-01-02T03:04:05.678901Z"


def test_an_event_can_belong_to_a_request(log: Log, logged: Logged) -> None:
    """The id that the caller got finds the event."""
    log.event("error", "exception", request_id="id-1")

    assert [line["request_id"] for line in logged()] == ["id-1"]


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


def test_an_access_line_has_the_promised_fields(
    log: Log, logged: Logged, finished: Finished
) -> None:
    """What the specification promises of an access line is all there."""
    log.requests([finished(client="acme", trace="Root=1-67891233-abcdef012345678912345678")])

    (line,) = logged()
    assert line["event"] == "request"
    assert {
        *("time", "level", "service", "event", "request_id"),
        *("method", "path", "status", "duration_ms", "client", "remote_addr", "bytes_sent"),
        "trace",
    } <= line.keys()


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
    log.requests([finished(request_id=f"id-{number}") for number in range(100)])

    assert len(sizes) == 1
    assert [line["request_id"] for line in logged()] == [f"id-{number}" for number in range(100)]


def test_a_batch_without_requests_writes_nothing(log: Log, logged: Logged) -> None:
    """A quiet service leaves no empty lines behind."""
    log.requests([])

    assert logged() == []


def test_lines_stay_whole_when_the_pipe_takes_them_in_pieces(
    log: Log, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that log at once to a slow reader do not cut each other's lines."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    together = threading.Barrier(4)

    def work(name: int) -> None:
        together.wait()
        for number in range(10):
            log.event("info", f"event-{name}-{number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {line["event"] for line in logged()} == {
        f"event-{name}-{number}" for name in range(4) for number in range(10)
    }


def test_a_reader_that_went_away_does_not_stop_the_service(finished: Finished) -> None:
    """Logging to a broken pipe is silent, every time."""
    reader, writer = os.pipe()
    os.close(reader)
    log = Log("info", writer)

    log.event("info", "unheard")
    log.requests([finished(), finished()])
    os.close(writer)


def test_a_full_disk_does_not_stop_the_service(finished: Finished) -> None:
    """Lines that cannot be written are lost, and nothing else."""
    with Path("/dev/full").open("wb") as full:
        log = Log("info", full.fileno())
        log.event("info", "unwritten")
        log.requests([finished()])


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (logging.DEBUG, "debug"),
        (logging.INFO, "info"),
        (logging.WARNING, "warning"),
        (logging.ERROR, "error"),
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


@given(
    st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(["request_id", "method", "path", "client", "trace"], st.text())
        ),
        max_size=5,
    )
)
def test_any_text_in_requests_and_events_stays_on_its_line(texts: list[dict[str, str]]) -> None:
    """One line for each request and event, and each is read back as it was."""
    requests = [
        Request(
            time=datetime.now(UTC),
            level="info",
            service="api",
            event="request",
            route="other",
            status=404,
            duration_ms=0.1,
            remote_addr="::1",
            bytes_sent=0,
            **fields,
        )
        for fields in texts
    ]
    with TemporaryFile() as file:
        log = Log("info", file.fileno())
        log.requests(requests)
        for fields in texts:
            log.event("info", "event", **fields)
        file.seek(0)
        content = file.read()

    *lines, rest = content.split(b"\n")
    assert rest == b""
    assert [
        {name: line[name] for name in fields}
        for fields, line in zip(texts * 2, map(msgspec.json.decode, lines), strict=True)
    ] == texts * 2
