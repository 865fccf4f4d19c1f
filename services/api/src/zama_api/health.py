"""Liveness and readiness."""

import time


class Health:
    """Whether this process wants traffic; that it lives shows in its answering at all.

    Arguments:
        ready_delay_seconds: warm-up; not ready before it is over.

    """

    def __init__(self, ready_delay_seconds: float) -> None:
        self._started = time.monotonic()
        self._ready_at = self._started + ready_delay_seconds
        self.draining = False

    def drain(self) -> None:
        """Stop being ready, for good; called when the process is told to stop."""
        self.draining = True

    @property
    def uptime_seconds(self) -> float:
        """Seconds since the process started, to a millisecond."""
        return round(time.monotonic() - self._started, 3)

    @property
    def unready_because(self) -> str | None:
        """Why no traffic should come, or None when it should."""
        if self.draining:
            return "The service is draining: it finishes its requests and stops."
        if time.monotonic() < self._ready_at:
            return "The service is warming up."
        return None
