"""Callers that send requests at a constant rate and record each outcome."""

import http.client
import threading
import time
from dataclasses import dataclass, field
from typing import Final, Self

from zama_ops.contract_checks import SUM
from zama_ops.http_client import Answer, HttpClient

_IDLE_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Outcome:
    """One request: when it was sent, its duration in seconds, and its answer or error."""

    sent: float
    seconds: float
    answer: Answer | None
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the caller got the sum, and no header twice."""
        return (
            self.answer is not None
            and self.answer.body == b'{"sum":42}'
            and not self.answer.repeated
        )


@dataclass
class Callers:
    """Callers on keep-alive connections; as a context manager they call until the block ends.

    The client's headers hold the key. Together they send `rate` requests/s, which can change while
    they call. After the block, every request has an outcome.
    """

    client: HttpClient
    rate: float
    count: int = 4
    outcomes: list[Outcome] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        # Daemons do not outlive the program, if a signal interrupts this method.
        self._threads = [
            threading.Thread(target=self._call, daemon=True) for _ in range(self.count)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for thread in self._threads:
            thread.join()

    def lost(self) -> list[Outcome]:
        """Return the requests that did not get the sum."""
        return [outcome for outcome in self.outcomes if not outcome.ok]

    def breakage(self) -> str:
        """Describe the first five lost requests."""
        return "\n".join(f"{outcome.error} {outcome.answer}" for outcome in self.lost()[:5])

    def stop(self) -> None:
        """Send no more requests; pending ones finish."""
        self._stopped.set()

    def _call(self) -> None:
        connection = self.client.connection()
        due = time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            # Read once: another thread can change it.
            rate = self.rate
            due = max(due, time.monotonic()) + (self.count / rate if rate else _IDLE_SECONDS)
            if rate:
                self.outcomes.append(self._outcome(connection))
        connection.close()

    def _outcome(self, connection: http.client.HTTPConnection) -> Outcome:
        sent = time.monotonic()
        answer, error = None, ""
        try:
            headers = {**self.client.own_headers, **self.client.headers}
            connection.request("POST", "/sum", SUM, headers)
            answer = Answer.read(connection)
        except (OSError, http.client.HTTPException) as failure:
            error = repr(failure)
            connection.close()
        return Outcome(sent, time.monotonic() - sent, answer, error)
