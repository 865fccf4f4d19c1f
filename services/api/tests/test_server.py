"""The server starts and stops as promised; Granian itself is replaced here."""

import logging
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

# Where no signal comes, the thread that waits for one is ended by SystemExit.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

Logged = Callable[[], list[dict[str, Any]]]
MakeServer = Callable[..., Server]


@dataclass
class Outside:
    """What reaches the server from outside, and what it does, in order.

    `signals` has what each wait for one brings: None when its time is over. `pending` has those
    that came before the first wait.
    """

    signals: list[signal.Signals | None] = field(default_factory=list)
    pending: set[signal.Signals] = field(default_factory=set)
    events: list[object] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def wait(self, _signals: frozenset[signal.Signals], seconds: float | None = None) -> object:
        """Take the place of `sigwait` and `sigtimedwait`."""
        if not self.signals:
            raise SystemExit
        if seconds is not None:
            self.events.append(seconds)
        return self.signals.pop(0)

    def end(self, code: int) -> None:
        """Take the place of the end of the process."""
        self.events.append(f"exit {code}")
        self.ended.set()


def application(_environ: object, _start_response: object) -> Iterable[bytes]:
    """Take the place of the WSGI application; nothing here calls it."""
    return []


@pytest.fixture
def health() -> Health:
    """Make a health that is ready."""
    return Health(ready_delay_seconds=0)


@pytest.fixture
def make_server(health: Health, log: Log) -> Iterator[MakeServer]:
    """Make servers of the settings that a test cares for."""

    def make(**settings: Any) -> Server:
        return Server(Settings(**settings), application, health, log)

    yield make
    # Its handler writes to a log that is closed after the test.
    logging.getLogger("_granian").handlers.clear()


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    """Replace signals, Granian's start and stop, and the end of the process."""
    outside = Outside()
    monkeypatch.setattr(signal, "sigwait", outside.wait)
    monkeypatch.setattr(signal, "sigtimedwait", outside.wait)
    monkeypatch.setattr(signal, "sigpending", lambda: outside.pending)
    monkeypatch.setattr(os, "_exit", outside.end)
    monkeypatch.setattr(MTServer, "startup", lambda *_: None)
    monkeypatch.setattr(
        MTServer, "signal_handler_interrupt", lambda _: outside.events.append("listener closed")
    )
    return outside


# --- Start ----------------------------------------------------------------------------------------


def test_granian_serves_the_application_itself(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application is handed over as it is, not imported by name, on any interpreter."""
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
    """Who waits for the line can connect to the address that it names."""
    before: list[dict[str, Any]] = []
    monkeypatch.setattr(MTServer, "startup", lambda *_: before.extend(logged()))

    make_server(host=host, port=8088).startup()

    assert before == []
    (line,) = logged()
    assert (line["event"], line["level"], line["address"]) == ("started", "info", address)


def test_nothing_is_logged_of_a_start_that_failed(
    make_server: MakeServer, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log does not claim to listen when the address was taken."""

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(MTServer, "startup", fail)

    with pytest.raises(RuntimeError):
        make_server().startup()
    assert logged() == []


@pytest.mark.parametrize(
    "error",
    [RuntimeError("Address already in use (os error 98)"), ValueError("invalid socket address")],
)
def test_an_address_that_cannot_be_bound_is_an_os_error(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Callers need not know Granian to tell this failure, and its words are kept."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(MTServer, "startup", fail)

    with pytest.raises(OSError, match="ddress") as caught:
        make_server().run()
    assert str(caught.value) == str(error)
    assert caught.value.__cause__ is error


def test_another_failure_is_not_taken_for_one_of_the_address(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in what Granian is told shows as what it is."""

    def fail(*_: object, **__: object) -> None:
        raise ConfigurationError("blocking_threads")

    monkeypatch.setattr(MTServer, "serve", fail)

    with pytest.raises(ConfigurationError):
        make_server().run()


def test_idle_connections_outlive_the_gateways(make_server: MakeServer) -> None:
    """The gateway closes idle connections after 60 s; the server must not do so before."""
    http = make_server().http1_settings

    assert http is not None
    assert http.keep_alive
    assert http.header_read_timeout > 60_000


def test_what_granian_logs_has_the_shape_of_the_other_lines(
    make_server: MakeServer, logged: Logged
) -> None:
    """Granian's errors are JSON lines, and its remarks are left out."""
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


def test_a_signal_turns_readiness_at_once_and_stops_after_the_drain_time(
    make_server: MakeServer, outside: Outside, health: Health, logged: Logged
) -> None:
    """The load balancer learns it first; 25 seconds after the signal all are given up."""
    outside.signals = [signal.SIGTERM, None, None]
    make_server(drain_seconds=7).startup()

    assert outside.ended.wait(timeout=10)
    assert health.unready_because is not None
    assert outside.events == [7, "listener closed", 18, "exit 1"]
    (line,) = (line for line in logged() if line["event"] == "draining")
    assert (line["level"], line["seconds"]) == ("info", 7)


@pytest.mark.parametrize(
    ("pending", "ready_delay_seconds"),
    [({signal.SIGTERM}, 0), (set(), 60)],
    ids=["while starting", "while warming up"],
)
def test_a_service_that_was_never_ready_stops_without_a_drain(
    outside: Outside, log: Log, pending: set[signal.Signals], ready_delay_seconds: float
) -> None:
    """Nobody sends requests to it yet."""
    outside.pending = pending
    outside.signals = [signal.SIGTERM, None, None]
    settings = Settings(drain_seconds=7)
    Server(settings, application, Health(ready_delay_seconds), log).startup()

    assert outside.ended.wait(timeout=10)
    assert outside.events == [0, "listener closed", 25, "exit 1"]


@pytest.mark.parametrize(
    ("second", "events"),
    [
        ([signal.SIGTERM], [7, "exit 1"]),
        ([None, signal.SIGINT], [7, "listener closed", 18, "exit 1"]),
    ],
    ids=["while draining", "while requests finish"],
)
def test_a_second_signal_ends_the_process_at_once(
    make_server: MakeServer,
    outside: Outside,
    capfd: pytest.CaptureFixture[str],
    second: list[signal.Signals | None],
    events: list[object],
) -> None:
    """Who asks twice means it: requests in flight are given up, and the exit code says so."""
    outside.signals = [signal.SIGTERM, *second]
    make_server(drain_seconds=7).startup()

    assert outside.ended.wait(timeout=10)
    assert outside.events == events
    assert capfd.readouterr().err == "zama-api: stopped before all requests were finished\n"
