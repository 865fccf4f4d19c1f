"""Shared fixtures: a readable log and finished requests."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings

from zama_api.logs import Log, Request

# Examples have no deadline: on a shared machine a slow example is no failure.
settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Replace the environment, because the program empties it and the tests still need theirs."""
    environ: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environ)
    return environ


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[int]:
    """Open a file to log to and yield its descriptor."""
    file_descriptor = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield file_descriptor
    os.close(file_descriptor)


@pytest.fixture
def log(log_file: int) -> Log:
    """Make a log that writes everything to `log_file`."""
    return Log("debug", log_file)


@pytest.fixture
def logged(log_file: int) -> Callable[[], list[dict[str, Any]]]:
    """Return a function that reads `log_file`, one object a line."""

    def read() -> list[dict[str, Any]]:
        content = os.pread(log_file, os.fstat(log_file).st_size, 0)
        return [msgspec.json.decode(line) for line in content.splitlines()]

    return read


@pytest.fixture
def finished() -> Callable[..., Request]:
    """Return a function that makes a finished request, with any fields replaced by keyword."""
    ordinary = Request(
        time=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        level="info",
        service="api",
        event="request",
        request_id="id-1",
        method="POST",
        path="/sum",
        route="/sum",
        status=200,
        duration_ms=0.25,
        client="acme",
        remote_addr="192.0.2.1",
        bytes_sent=10,
        trace="",
    )

    def make(**fields: Any) -> Request:
        return msgspec.structs.replace(ordinary, **fields)

    return make
