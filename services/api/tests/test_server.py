"""The server starts and stops as promised; Granian itself is replaced here."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from granian.errors import ConfigurationError
from granian.server import MTServer

from zama_api.config import Settings
from zama_api.health import Health
from zama_api.logs import Log
from zama_api.server import Server

Logged = Callable[[], list[dict[str, Any]]]
MakeServer = Callable[..., Server]


class ProcessEnded(BaseException):
    """Stands for the end of the process, after which no more code runs."""


class Alarm:
    """A `threading.Timer` that rings when told to, so that no test waits for it."""

    def __init__(self, interval: float, function: Callable[[], None]) -> None:
        self.interval = interval
        self.ring = function
        self.daemon = False
        self.daemon_at_start: bool | None = None

    def start(self) -> None:
        """Remember how it was started."""
        self.daemon_at_start = self.daemon


class Granian:
    """What the server's superclass was told, when, and in which thread."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.stopped_at = 0.0
        self.stopped_in: threading.Thread | None = None

    def stop(self) -> None:
        """Take the place of the handler that closes the listener."""
        self.stopped_at = time.monotonic()
        self.stopped_in = threading.current_thread()
        self.stopping.set()


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


@pytest.fixture
def granian(monkeypatch: pytest.MonkeyPatch) -> Granian:
    """Replace the superclass's stop."""
    granian = Granian()
    monkeypatch.setattr(MTServer, "signal_handler_interrupt", granian.stop)
    return granian


@pytest.fixture(autouse=True)
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[Alarm]:
    """Replace timers and the end of the process: a real one would take the tests with it."""
    alarms = []

    def make(interval: float, function: Callable[[], None]) -> Alarm:
        alarms.append(Alarm(interval, function))
        return alarms[-1]

    def end(code: int) -> None:
        raise ProcessEnded(code)

    monkeypatch.setattr(threading, "Timer", make)
    monkeypatch.setattr(os, "_exit", end)
    return alarms


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

    make_server(host=host, port=8088).startup("spawn", "target")

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
        make_server().startup("spawn", "target")
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
    make_server: MakeServer, granian: Granian, health: Health, logged: Logged
) -> None:
    """The load balancer learns it first; the listener closes only when it had time to."""
    server = make_server(drain_seconds=0.05)
    signalled_at = time.monotonic()
    server.signal_handler_interrupt()
    assert health.unready_because is not None

    assert granian.stopping.wait(timeout=10)
    assert granian.stopped_at - signalled_at >= 0.05
    (line,) = logged()
    assert (line["event"], line["level"], line["seconds"]) == ("draining", "info", 0.05)


def test_the_signal_handler_takes_what_a_signal_brings(
    make_server: MakeServer, granian: Granian
) -> None:
    """Python calls a handler with the signal's number and the frame that it interrupted."""
    make_server(drain_seconds=0).signal_handler_interrupt(15, None)

    assert granian.stopping.wait(timeout=10)


def test_the_signal_handler_does_not_wait(make_server: MakeServer, granian: Granian) -> None:
    """The thread that the signal interrupted goes on while another one drains."""
    make_server(drain_seconds=0).signal_handler_interrupt()

    assert granian.stopping.wait(timeout=10)
    assert granian.stopped_in is not threading.current_thread()


def test_a_second_signal_ends_the_process_at_once(
    make_server: MakeServer, granian: Granian, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who asks twice means it: requests in flight are given up, and the exit code says so."""
    server = make_server(drain_seconds=0)
    server.signal_handler_interrupt()
    assert granian.stopping.wait(timeout=10)
    granian.stopping.clear()

    with pytest.raises(ProcessEnded) as ended:
        server.signal_handler_interrupt()

    assert ended.value.args == (1,)
    assert capfd.readouterr().err == "zama-api: stopped before all requests were finished\n"
    assert not granian.stopping.is_set()


def test_a_request_that_never_ends_holds_the_process_for_25_seconds_at_most(
    make_server: MakeServer,
    granian: Granian,
    alarms: list[Alarm],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """From the first signal on an alarm is set, which itself keeps no process alive."""
    make_server(drain_seconds=0).signal_handler_interrupt()
    assert granian.stopping.wait(timeout=10)

    (alarm,) = alarms
    assert alarm.interval == 25
    assert alarm.daemon_at_start
    with pytest.raises(ProcessEnded) as ended:
        alarm.ring()
    assert ended.value.args == (1,)
    assert capfd.readouterr().err == "zama-api: stopped before all requests were finished\n"
