"""The journal of finished requests, between a request's way and the log and the metrics."""

import threading
from collections import deque
from typing import Final

from zama_api.logs import Log, Request
from zama_api.metrics import Metrics

# A kill loses at most this much of the log. Shorter costs wake-ups, longer makes callers wait
# for the interpreter while a larger batch is written: at 60,000 requests/s 1.2 ms of each 20.
_INTERVAL_SECONDS: Final = 0.02
# Bounds memory when standard output is slower than the requests: who finds the journal full
# writes it out before going on, so that nothing is dropped.
_CAPACITY: Final = 10_000


class Journal:
    """Takes finished requests in nanoseconds and writes them out in batches.

    A log line must not cost a system call nor a metric a lock while a caller waits.

    Arguments:
        log: gets the access lines, or None where none are wanted.
        metrics: counts the requests.

    """

    def __init__(self, log: Log | None, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics
        self._pending: deque[Request] = deque()
        self._flushing = threading.Lock()
        self._closed = threading.Event()
        self._flusher = threading.Thread(target=self._flush_often, name="journal", daemon=True)

    def start(self) -> None:
        """Begin to write what is added, fifty times a second."""
        self._flusher.start()

    def add(self, request: Request) -> None:
        """Take a finished request; costs one append."""
        self._pending.append(request)
        if len(self._pending) >= _CAPACITY:
            self.flush()

    def flush(self) -> None:
        """Write and count everything added so far."""
        with self._flushing:
            # As many as there are now: others may be added meanwhile.
            batch = [self._pending.popleft() for _ in range(len(self._pending))]
            self._metrics.observe(batch)
            if self._log is not None:
                self._log.requests(batch)

    def close(self) -> None:
        """Write what is left and stop."""
        self._closed.set()
        self._flusher.join()
        self.flush()

    def _flush_often(self) -> None:
        while not self._closed.wait(_INTERVAL_SECONDS):
            self.flush()
