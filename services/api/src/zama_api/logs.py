"""JSON log lines on standard output."""

import contextlib
import json
import os
import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from zama_api.config import LOG_LEVELS

_ENCODER: Final = msgspec.json.Encoder()
_STDOUT: Final = 1
_UNSAFE: Final = re.compile("[^\n -~]")


class Request(msgspec.Struct, gc=False):
    """A finished request; its encoded form is the access line, and the metrics count it.

    `route` is a known path or "other"; `trace` is the caller's X-Ray or W3C trace header. The
    encoder keeps the line valid JSON for any client input.
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


def _escape(unsafe: re.Match[str]) -> str:
    return json.dumps(unsafe[0])[1:-1]


class Log:
    """Writes events and access lines, one JSON object per line.

    Arguments:
        level: the lowest level to write.
        file_descriptor: the output.

    """

    def __init__(self, level: str, file_descriptor: int = _STDOUT) -> None:
        self._written = frozenset(LOG_LEVELS[LOG_LEVELS.index(level) :])
        self._file_descriptor = file_descriptor
        self._lock = threading.Lock()

    def event(self, level: str, event: str, **fields: Any) -> None:
        """Write one event immediately."""
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
        """Write the access lines of finished requests with one system call."""
        lines = [request for request in requests if request.level in self._written]
        self._write(_ENCODER.encode_lines(lines))

    def _write(self, data: bytes) -> None:
        if not data.isascii() or b"\x7f" in data:
            # JSON allows these characters, but some of them act on a terminal.
            data = _UNSAFE.sub(_escape, data.decode()).encode()
        # A closed pipe or a full disk must not stop the service.
        with self._lock, contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._file_descriptor, data) :]
