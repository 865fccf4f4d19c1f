"""The server starts and stops as specified; these tests replace Granian itself."""

import logging
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from granian.errors import ConfigurationError
from granian.server import MTServer

from zama_api.config import Settings
from zama_api.health import Health
from zama_api.logs import Log
from zama_api.server import Server

# Without a signal, SystemExit ends the thread that waits for one.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

Logged = Callable[[], list[dict[str, Any]]]
MakeServer = Callable[..., Server]


@dataclass
class Outside:
    """A clock, the times of signals, and the server's visible events with their times."""

    health: Health
    now: float = 0
    signals: list[float] = field(default_factory=list)
    seen: list[tuple[float, str]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def wait(self, _signals: frozenset[signal.Signals], seconds: float = math.inf) -> object:
        """Replace `sigwait` and `sigtimedwait`: advance the clock until a signal arrives."""
        if self.health.unready_because and not self.seen:
            self.see("unready")
        over = self.now + seconds
        if self.signals and self.signals[0] <= over:
            self.now = self.signals.pop(0)
            return signal.SIGTERM
        if over == math.inf:
            raise SystemExit
        self.now = over
        return None

    def pending(self) -> set[signal.Signals]:
        return {signal.SIGTERM} if self.signals and self.signals[0] <= self.now else set()

    def see(self, what: str) -> None:
        self.seen.append((self.now, what))

    def end(self, code: int) -> None:
        """Replace `os._exit`: record the exit code."""
        self.see(f"exit {code}")
        self.ended.set()


def application(_environ: object, _start_response: object) -> Iterable[bytes]:
    """Replace the WSGI application; nothing calls it."""
    return []


@pytest.fixture
def health() -> Health:
    return Health(ready_delay_seconds=0)


@pytest.fixture
def make_server(health: Health, log: Log) -> Iterator[MakeServer]:
    """Return a function that makes servers with given settings."""

    def make(**settings: Any) -> Server:
        return Server(Settings(**settings), application, health, log)

    yield make
    # Its handler writes to a log that is closed after the test.
    logging.getLogger("_granian").handlers.clear()


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch, health: Health) -> Outside:
    """Replace signals, the clock, Granian's start and stop, and the end of the process."""
    outside = Outside(health)
    monkeypatch.setattr(signal, "sigwait", outside.wait)
    monkeypatch.setattr(signal, "sigtimedwait", outside.wait)
    monkeypatch.setattr(signal, "sigpending", outside.pending)
    monkeypatch.setattr(os, "_exit", outside.end)
    monkeypatch.setattr(MTServer, "startup", lambda *_: None)
    monkeypatch.setattr(
        MTServer, "signal_handler_interrupt", lambda _: outside.see("listener closed")
    )
    return outside


# --- Start ----------------------------------------------------------------------------------------


def test_granian_serves_the_application_itself(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application is passed as an object, not imported by name."""
    served = []
    monkeypatch.setattr(MTServer, "startup", lambda _server, _spawn, target: served.append(target))
    monkeypatch.setattr(MTServer, "_serve_loop", lambda *_: None)
    monkeypatch.setattr(MTServer, "shutdown", lambda *_: None)

    make_server().run()

    assert served == [application]


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:8088"), ("::", "http://[::]:8088")],
)
def test_the_start_is_logged_when_the_listener_is_open(
    make_server: MakeServer,
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    address: str,
) -> None:
    """When the line appears, clients can connect to the address in it."""
    before: list[dict[str, Any]] = []
    monkeypatch.setattr(MTServer, "startup", lambda *_: before.extend(logged()))

    make_server(host=host, port=8088).startup()

    assert before == []
    (line,) = logged()
    assert (line["event"], line["level"], line["address"]) == ("started", "info", address)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("Address already in use (os error 98)"), ValueError("invalid socket address")],
)
def test_an_address_that_cannot_be_bound_is_an_os_error(
    make_server: MakeServer, logged: Logged, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The error keeps Granian's message without its type, and no start is logged."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(MTServer, "startup", fail)

    with pytest.raises(OSError, match="ddress") as caught:
        make_server().run()
    assert str(caught.value) == str(error)
    assert caught.value.__cause__ is error
    assert logged() == []


def test_other_failures_are_not_reported_as_address_errors(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in Granian's configuration keeps its own exception."""

    def fail(*_: object, **__: object) -> None:
        raise ConfigurationError("blocking_threads")

    monkeypatch.setattr(MTServer, "serve", fail)

    with pytest.raises(ConfigurationError):
        make_server().run()


def test_idle_connections_outlive_the_gateways(make_server: MakeServer) -> None:
    """The gateway closes idle connections after 60 s, and the server must not close them first."""
    http = make_server().http1_settings

    assert http is not None
    assert http.keep_alive
    assert http.header_read_timeout > 60_000


def test_granians_log_has_the_format_of_other_lines(
    make_server: MakeServer, logged: Logged
) -> None:
    """Granian's errors are JSON lines, and its warnings are dropped."""
    make_server()
    granian = logging.getLogger("_granian")
    granian.warning("free-threaded Python support is experimental!")
    granian.error("Unexpected exit from worker-%d", 1)

    (line,) = logged()
    assert (line["event"], line["level"], line["message"]) == (
        "granian",
        "error",
        "Unexpected exit from worker-1",
    )


# --- Stop -----------------------------------------------------------------------------------------


def test_a_signal_fails_readiness_at_once_and_stops_after_the_drain(
    make_server: MakeServer, outside: Outside, logged: Logged
) -> None:
    """Readiness fails first; 25 seconds after the signal the process exits in any case."""
    outside.signals = [100]
    make_server(drain_seconds=7).startup()

    assert outside.ended.wait(timeout=10)
    assert outside.seen == [(100, "unready"), (107, "listener closed"), (125, "exit 1")]
    (line,) = (line for line in logged() if line["event"] == "draining")
    assert (line["level"], line["seconds"]) == ("info", 7)


@pytest.mark.parametrize(
    ("told", "ready_delay_seconds"), [(0, 0), (1, 60)], ids=["while starting", "while warming up"]
)
def test_a_service_that_was_never_ready_stops_without_a_drain(
    outside: Outside, log: Log, told: float, ready_delay_seconds: float
) -> None:
    """It has received no requests, so there is nothing to drain."""
    outside.signals = [told]
    Server(Settings(drain_seconds=7), application, Health(ready_delay_seconds), log).startup()

    assert outside.ended.wait(timeout=10)
    assert outside.seen == [(told, "listener closed"), (told + 25, "exit 1")]


@pytest.mark.parametrize(
    ("second", "seen"),
    [(103, ["unready", "exit 1"]), (110, ["unready", "listener closed", "exit 1"])],
    ids=["while draining", "while requests finish"],
)
def test_a_second_signal_ends_the_process_at_once(
    make_server: MakeServer,
    outside: Outside,
    capfd: pytest.CaptureFixture[str],
    second: float,
    seen: list[str],
) -> None:
    """A second signal abandons requests in flight, and the exit code is not 0."""
    outside.signals = [100, second]
    make_server(drain_seconds=7).startup()

    assert outside.ended.wait(timeout=10)
    assert [what for _, what in outside.seen] == seen
    assert outside.now == second
    assert capfd.readouterr().err == "zama-api: stopped before all requests were finished\n"
