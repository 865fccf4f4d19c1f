"""Constant load, and what became of each request."""

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from stack import AUTHORISED
from zama_ops.contract_checks import SUM
from zama_ops.http_client import Answer

CLIENTS: Final = 4
REQUESTS_PER_SECOND: Final = 200


@dataclass(frozen=True)
class Outcome:
    """One request: when it was sent, how long it took (seconds), and the answer or what broke."""

    sent: float
    seconds: float
    answer: Answer | None
    error: str = ""

    @property
    def ok(self) -> bool:
        return self.answer is not None and self.answer.body == b'{"sum":42}'


@dataclass
class Load:
    """`CLIENTS` callers with kept-alive connections, `rate` requests/s together."""

    url: str
    rate: float
    headers: Mapping[str, str]
    outcomes: list[Outcome] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def lost(self) -> list[Outcome]:
        """Return the requests that did not get the sum."""
        return [outcome for outcome in self.outcomes if not outcome.ok]

    def breakage(self) -> str:
        """Say what became of the first that were lost."""
        return "\n".join(f"{outcome.error} {outcome.answer}" for outcome in self.lost()[:5])

    def stop(self) -> None:
        self._stop.set()

    def call(self) -> None:
        address = urlsplit(self.url).netloc
        connection = http.client.HTTPConnection(address, timeout=15)
        pause = CLIENTS / self.rate
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += pause
            sent = time.monotonic()
            answer, error = None, ""
            try:
                connection.request("POST", "/sum", SUM, dict(self.headers))
                answer = Answer.read(connection)
            except (OSError, http.client.HTTPException) as failure:
                error = repr(failure)
                connection.close()
            self.outcomes.append(Outcome(sent, time.monotonic() - sent, answer, error))
        connection.close()


@contextlib.contextmanager
def constant_load(
    url: str, rate: float = REQUESTS_PER_SECOND, headers: Mapping[str, str] = AUTHORISED
) -> Iterator[Load]:
    """Load `url` while the block runs; afterwards every request has its outcome."""
    load = Load(url, rate, headers)
    callers = [threading.Thread(target=load.call) for _ in range(CLIENTS)]
    for caller in callers:
        caller.start()
    try:
        yield load
    finally:
        load.stop()
        for caller in callers:
            caller.join()
