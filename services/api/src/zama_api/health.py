"""Liveness and readiness."""

import time


class Health:
    """Whether this process is ready for traffic; any answer shows that it is alive.

    Arguments:
        ready_delay_seconds: the warm-up before the service is ready.

    """

    def __init__(self, ready_delay_seconds: float) -> None:
        self._started = time.monotonic()
        self._ready_at = self._started + ready_delay_seconds
        self.draining = False

    def drain(self) -> None:
        """Become unready permanently; called at the start of a stop."""
        self.draining = True

    @property
    def uptime_seconds(self) -> float:
        """Seconds since the start, to the millisecond."""
        return round(time.monotonic() - self._started, 3)

    @property
    def unready_because(self) -> str | None:
        """The reason for not being ready, or None when ready."""
        if self.draining:
            return "The service is draining: it finishes its requests and stops."
        if time.monotonic() < self._ready_at:
            return "The service is warming up."
        return None
