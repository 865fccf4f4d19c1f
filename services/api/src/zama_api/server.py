"""Granian in this process, with the service's start, drain and stop."""

import os
import signal
import threading
from typing import Any, Final
from wsgiref.types import WSGIApplication

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MTServer

from zama_api.config import Settings
from zama_api.health import Health
from zama_api.logs import Handler, Log

# Longer than the 60 s for which the gateway keeps idle connections to the API, so that the gateway
# always closes them first: a request never meets a closing connection.
KEEP_ALIVE_SECONDS: Final = 75
# One thread would be as fast, and more would contend for the interpreter (docs/decisions/0001). A
# slow body blocks a thread, but the gateway sends only complete bodies.
THREADS: Final = 2
# Granian accepts at most this many connections; others wait. The gateway uses at most 2,000, so
# that the health check always gets one.
CONNECTIONS: Final = 4096
STOP_SECONDS: Final = 25
STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})

_MAX_HEAD_BYTES: Final = 16 * 1024


class Server(MTServer):
    """Serves `application` until a signal.

    On SIGTERM or SIGINT the service becomes unready at once and serves requests for `drain_seconds`
    more; then the listener closes and requests in flight finish. A second signal, or 25 seconds,
    forces an exit. A signal during the start or the warm-up stops the service without a drain. The
    caller must block `STOP_SIGNALS` before any thread starts (`pthread_sigmask`).

    This is Granian's threaded server, not its default, which forks: a single process has one
    readiness state and one pid to signal, and a kill leaves no child behind.
    """

    def __init__(
        self, settings: Settings, application: WSGIApplication, health: Health, log: Log
    ) -> None:
        super().__init__(
            target="zama_api",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.WSGI,
            backlog=CONNECTIONS,
            blocking_threads=THREADS,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=KEEP_ALIVE_SECONDS * 1000, max_buffer_size=_MAX_HEAD_BYTES
            ),
            websockets=False,
            log_level=LogLevels.error,
            log_dictconfig={
                "handlers": {"json": {"()": Handler, "log": log}},
                "loggers": {"_granian": {"handlers": ["json"], "propagate": False}},
            },
        )
        self._application = application
        self._health = health
        self._log = log
        self._drain_seconds = settings.drain_seconds

    def run(self) -> None:
        """Serve until stopped.

        Raises:
            OSError: the address cannot be bound.

        """
        try:
            self.serve(target_loader=lambda: self._application, wrap_loader=False)
        except (RuntimeError, ValueError) as error:
            # Granian's errors for an address in use and for an invalid address.
            raise OSError(error) from error

    def startup(self, *arguments: Any) -> None:
        """Open the listener and log it."""
        told_before = bool(signal.sigpending() & STOP_SIGNALS)
        super().startup(*arguments)
        threading.Thread(
            target=self._stop_when_told, args=[told_before], name="signals", daemon=True
        ).start()
        self._log.event("info", "started", address=f"http://{self._bind_addr_fmt}")

    def signal_handler_reload(self, *_arguments: Any, **_keywords: Any) -> None:
        """Ignore SIGHUP, on which Granian would restart its worker: settings are read once."""

    def _stop_when_told(self, told_before: bool) -> None:  # noqa: FBT001 - a thread's target
        # Wait for signals instead of handling them: Python runs handlers in the main thread, which
        # sleeps on a lock. A signal just before it sleeps would go unnoticed until the next signal.
        signal.sigwait(STOP_SIGNALS)
        # A service that has never been ready gets no requests and needs no drain.
        never_ready = told_before or self._health.unready_because is not None
        drain_seconds = 0 if never_ready else self._drain_seconds
        self._health.drain()
        self._log.event("info", "draining", seconds=drain_seconds)
        if signal.sigtimedwait(STOP_SIGNALS, drain_seconds) is None:
            self.signal_handler_interrupt()
            signal.sigtimedwait(STOP_SIGNALS, STOP_SECONDS - drain_seconds)
        self._give_up()

    def _give_up(self) -> None:
        os.write(2, b"zama-api: stopped before all requests were finished\n")
        os._exit(1)

    def _check_gil(self) -> None:
        """Allow an interpreter with a GIL.

        Granian's threaded server is meant for free-threaded Python and refuses others, but does not
        depend on it.
        """
