"""JSON log lines on standard output."""

import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from zama_api.config import LOG_LEVELS

_ENCODER: Final = msgspec.json.Encoder()
_STDOUT: Final = 1


class Request(msgspec.Struct, gc=False):
    """One finished request: encoded it is the access line, and the metrics count it.

    `route` is the path of a known route or "other"; `trace` is the caller's X-Ray or W3C trace
    header. Whatever a client sends, the encoder keeps the line valid JSON.
    """

    time: datetime
    level: str
    service: str
    event: str
    request_id: str
    method: str
    path: str
    route: str
    status: int
    duration_ms: float
    client: str
    remote_addr: str
    bytes_sent: int
    trace: str


class Log:
    """Writes events and access lines, one JSON object a line.

    Arguments:
        level: the least level that is written.
        file_descriptor: where to.

    """

    def __init__(self, level: str, file_descriptor: int = _STDOUT) -> None:
        self._written = frozenset(LOG_LEVELS[LOG_LEVELS.index(level) :])
        self._file_descriptor = file_descriptor
        self._lock = threading.Lock()

    def event(self, level: str, event: str, **fields: Any) -> None:
        """Write one event at once."""
        if level in self._written:
            line = {
                "time": datetime.now(UTC),
                "level": level,
                "service": "api",
                "event": event,
                "request_id": "",
            }
            self._write(_ENCODER.encode(line | fields) + b"\n")

    def requests(self, requests: Sequence[Request]) -> None:
        """Write the access lines of finished requests in one go."""
        lines = [request for request in requests if request.level in self._written]
        self._write(_ENCODER.encode_lines(lines))

    def _write(self, data: bytes) -> None:
        # A reader that went away, or a full disk, must not take the service with it.
        with self._lock, contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._file_descriptor, data) :]


class Handler(logging.Handler):
    """Gives what libraries log the shape of the other lines."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a library's record; its levels above error count as error."""
        level = record.levelname.lower()
        self._log.event(
            level if level in LOG_LEVELS else "error",
            record.name.strip("_"),
            message=self.format(record),
        )
