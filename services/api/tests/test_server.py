"""The server starts and stops as specified; these tests replace its event loop."""

import math
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from zama_api.config import Settings
from zama_api.connection import Connection, Connections
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


class Loop:
    """Replaces the event loop: records the listener's end, and runs until the process ends."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.later: list[Callable[[], object]] = []
        self.stopped = self.closed = False
        self.ports: list[int] = []
        self.explain: Any = None

    def set_exception_handler(self, handler: Any) -> None:
        self.explain = handler

    def create_server(self, _accept: object, *, sock: socket.socket, backlog: int) -> object:
        assert backlog >= 1024
        self.ports.append(sock.getsockname()[1])
        return SimpleNamespace(close=lambda: self.outside.see("listener closed"))

    def run_until_complete(self, result: object) -> object:
        return result

    def call_soon_threadsafe(self, function: Callable[..., object], *arguments: Any) -> None:
        function(*arguments)

    def call_later(self, _s: float, function: Callable[..., object], *arguments: Any) -> None:
        self.later.append(partial(function, *arguments))

    def run_forever(self) -> None:
        # Without a signal, the thread that waits for one has ended.
        for thread in threading.enumerate():
            if thread.name == "signals":
                thread.join(timeout=10)

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.closed = True


def application(_environ: object, _start_response: object) -> Iterable[bytes]:
    """Replace the WSGI application; nothing calls it."""
    return []


@pytest.fixture
def health() -> Health:
    return Health(ready_delay_seconds=0)


@pytest.fixture
def make_server(health: Health, log: Log) -> MakeServer:
    """Return a function that makes servers with given settings, on any free port."""

    def make(**settings: Any) -> Server:
        return Server(Settings(**{"port": 0, **settings}), application, health, log)

    return make


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch, health: Health) -> Outside:
    """Replace signals, the clock and the end of the process."""
    outside = Outside(health)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(signal, "sigwait", outside.wait)
    monkeypatch.setattr(signal, "sigtimedwait", outside.wait)
    monkeypatch.setattr(signal, "sigpending", outside.pending)
    monkeypatch.setattr(os, "_exit", outside.end)
    return outside


@pytest.fixture(autouse=True)
def loop(monkeypatch: pytest.MonkeyPatch, outside: Outside) -> Loop:
    loop = Loop(outside)
    monkeypatch.setattr(uvloop, "new_event_loop", lambda: loop)
    return loop


# --- Start ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "http://127.0.0.1:0"), ("::1", "http://[::1]:0")]
)
def test_the_start_is_logged_when_the_listener_is_open(
    make_server: MakeServer,
    loop: Loop,
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    address: str,
) -> None:
    """When the line appears, clients can connect to the address in it."""
    before: list[dict[str, Any]] = []

    def open_it(made: object) -> object:
        before.extend(logged())
        return made

    monkeypatch.setattr(loop, "run_until_complete", open_it)
    make_server(host=host).run()

    assert before == []
    (line,) = logged()
    assert (line["event"], line["level"], line["address"]) == ("started", "info", address)
    assert loop.closed


def test_a_successor_can_listen_while_the_predecessor_drains(
    make_server: MakeServer, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both listen on the same port."""

    def listen_again(made: object) -> object:
        if len(loop.ports) == 1:
            make_server(port=loop.ports[0]).run()
        return made

    monkeypatch.setattr(loop, "run_until_complete", listen_again)
    make_server().run()
    assert len(loop.ports) == 2
    assert len(set(loop.ports)) == 1


def test_an_address_that_cannot_be_bound_is_an_os_error(
    make_server: MakeServer, logged: Logged
) -> None:
    """No start is logged."""
    with pytest.raises(OSError, match="assign requested address"):
        make_server(host="192.0.2.1").run()
    assert logged() == []


def test_a_failure_in_the_event_loop_is_logged(
    make_server: MakeServer, loop: Loop, logged: Logged
) -> None:
    """It is one line, with a traceback if there is an exception."""
    make_server().run()
    loop.explain(loop, {"message": "accept failed", "exception": OSError("too many open files")})
    loop.explain(loop, {"message": "unknown"})
    _, failed, unknown = logged()
    assert (failed["event"], failed["level"], failed["message"]) == (
        "exception",
        "error",
        "accept failed",
    )
    assert "OSError: too many open files" in failed["traceback"]
    assert unknown["message"] == "unknown"


def test_time_passes_while_it_serves(make_server: MakeServer, loop: Loop) -> None:
    """The clock that ends slow requests runs on."""
    server = make_server()
    server.run()
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connections, "tick", lambda _: seen.append(1))
        for _ in range(3):
            loop.later.pop()()
    assert len(seen) == 3


# --- Stop -----------------------------------------------------------------------------------------


def test_a_signal_fails_readiness_at_once_and_stops_after_the_drain(
    make_server: MakeServer, outside: Outside, logged: Logged
) -> None:
    """Readiness fails first; 25 seconds after the signal the process exits in any case."""
    outside.signals = [100]
    make_server(drain_seconds=7).run()

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
    Server(Settings(port=0, drain_seconds=7), application, Health(ready_delay_seconds), log).run()

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
    make_server(drain_seconds=7).run()

    assert outside.ended.wait(timeout=10)
    assert [what for _, what in outside.seen] == seen
    assert outside.now == second
    assert capfd.readouterr().err == "zama-api: stopped before all requests were finished\n"


def test_requests_in_flight_are_finished(
    make_server: MakeServer, outside: Outside, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stops when its last connection is closed."""
    outside.signals = [100]
    server = make_server()
    connections: Connections = server._connections  # noqa: SLF001 - its callers are missing here
    asking = Connection(connections)
    connections.open.add(asking)
    monkeypatch.setattr(asking, "close_if_idle", lambda: None)
    monkeypatch.setattr(asking, "tick", lambda: None)
    server.run()
    assert not loop.stopped
    connections.open.clear()
    for later in [*loop.later]:
        later()
    assert loop.stopped
