"""Callers of the service at a constant rate, and what became of each request."""

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
    """One request: when it was sent, how long it took (seconds), and the answer or what broke."""

    sent: float
    seconds: float
    answer: Answer | None
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the caller got the sum."""
        return self.answer is not None and self.answer.body == b'{"sum":42}'


@dataclass
class Callers:
    """Callers on kept-alive connections; as a context manager they call until the block ends.

    Then every request has its outcome.

    Arguments:
        client: how to call; its headers have the key.
        rate: requests/s of all callers together. It may change while they call.
        count: how many callers.

    """

    client: HttpClient
    rate: float
    count: int = 4
    outcomes: list[Outcome] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._call) for _ in range(self.count)]
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
        """Say what became of the first that were lost."""
        return "\n".join(f"{outcome.error} {outcome.answer}" for outcome in self.lost()[:5])

    def stop(self) -> None:
        """Send no more; requests under way finish."""
        self._stopped.set()

    def _call(self) -> None:
        connection = self.client.connection()
        due = time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            # Read once, because it may change meanwhile.
            rate = self.rate
            due = max(due, time.monotonic()) + (self.count / rate if rate else _IDLE_SECONDS)
            if rate:
                self.outcomes.append(self._outcome(connection))
        connection.close()

    def _outcome(self, connection: http.client.HTTPConnection) -> Outcome:
        sent = time.monotonic()
        answer, error = None, ""
        try:
            connection.request("POST", "/sum", SUM, dict(self.client.headers))
            answer = Answer.read(connection)
        except (OSError, http.client.HTTPException) as failure:
            error = repr(failure)
            connection.close()
        return Outcome(sent, time.monotonic() - sent, answer, error)
