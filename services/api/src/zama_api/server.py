"""The server: one thread that answers all connections, with the service's start, drain and stop."""

import asyncio
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from typing import Any, Final
from wsgiref.types import WSGIApplication

import uvloop

from zama_api.config import Settings
from zama_api.connection import Connections
from zama_api.health import Health
from zama_api.logs import Log

# Half of the gateway's 8,192, because a call takes one from the caller and one to here.
CONNECTIONS: Final = 4096
STOP_SECONDS: Final = 25
STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})

_TICK_SECONDS: Final = 1.0
_FINISH_SECONDS: Final = 0.05


class Server:
    """Serves `application` until a signal.

    On SIGTERM or SIGINT the service becomes unready at once and serves requests for `drain_seconds`
    more; then the listener closes and requests in flight finish. A second signal, or 25 seconds,
    forces an exit. A signal during the start or the warm-up stops the service without a drain. The
    caller must block `STOP_SIGNALS` before any thread starts (`pthread_sigmask`).
    """

    def __init__(
        self, settings: Settings, application: WSGIApplication, health: Health, log: Log
    ) -> None:
        self._host = settings.host
        self._port = settings.port
        self._drain_seconds = settings.drain_seconds
        self._connections = Connections(application, CONNECTIONS)
        self._health = health
        self._log = log

    def run(self) -> None:
        """Serve until stopped.

        Raises:
            OSError: the address cannot be bound.

        """
        told_before = bool(signal.sigpending() & STOP_SIGNALS)
        # SIGHUP is ignored, because settings are read once.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        ipv6 = ":" in self._host
        with socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET) as listener:
            # A successor can listen before its predecessor exits.
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                listener.setsockopt(socket.SOL_SOCKET, option, 1)
            listener.bind((self._host, self._port))
            loop = uvloop.new_event_loop()
            loop.set_exception_handler(self._log_failure)
            server = loop.run_until_complete(
                loop.create_server(self._connections.accept, sock=listener, backlog=CONNECTIONS)
            )
            threading.Thread(
                target=self._stop_when_told,
                args=[lambda: loop.call_soon_threadsafe(self._finish, loop, server), told_before],
                name="signals",
                daemon=True,
            ).start()
            host = f"[{self._host}]" if ipv6 else self._host
            self._log.event("info", "started", address=f"http://{host}:{self._port}")
            self._tick(loop)
            loop.run_forever()
            loop.close()

    def _log_failure(self, _loop: object, context: dict[str, Any]) -> None:
        lines = traceback.format_exception(context.get("exception"))
        self._log.event("error", "exception", message=context["message"], traceback="".join(lines))

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._connections.tick()
        loop.call_later(_TICK_SECONDS, self._tick, loop)

    def _finish(self, loop: asyncio.AbstractEventLoop, server: asyncio.Server) -> None:
        """Close the listener, and stop when the requests in flight are answered."""
        server.close()
        self._connections.close_idle()
        if self._connections.open:
            loop.call_later(_FINISH_SECONDS, self._finish, loop, server)
        else:
            loop.stop()

    def _stop_when_told(
        self,
        finish: Callable[[], object],
        told_before: bool,  # noqa: FBT001 - a thread's target
    ) -> None:
        # In a separate thread: a signal counts before the event loop runs, and 25 seconds are the
        # limit even if the loop is stuck.
        signal.sigwait(STOP_SIGNALS)
        # A service that has never been ready gets no requests and needs no drain.
        never_ready = told_before or self._health.unready_because is not None
        drain_seconds = 0 if never_ready else self._drain_seconds
        self._health.drain()
        self._log.event("info", "draining", seconds=drain_seconds)
        if signal.sigtimedwait(STOP_SIGNALS, drain_seconds) is None:
            finish()
            signal.sigtimedwait(STOP_SIGNALS, STOP_SECONDS - drain_seconds)
        self._give_up()

    def _give_up(self) -> None:
        os.write(2, b"zama-api: stopped before all requests were finished\n")
        os._exit(1)
