"""`python -m zama_api`: the assembled service and its exit code."""

import json
import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any
from wsgiref.types import WSGIApplication

import pytest

from grammar import KEY
from zama_api import service
from zama_api.config import EXAMPLE_KEY

Capture = pytest.CaptureFixture[str]
Serve = Callable[[WSGIApplication], None]
MakeServe = Callable[[Serve], None]


@pytest.fixture(autouse=True)
def policies(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Restore the signal mask, and record the scheduling policy instead of setting it.

    Processes that the tests start would inherit both.
    """
    given: list[int] = []
    monkeypatch.setattr(
        os, "sched_setscheduler", lambda _pid, policy, _: given.append(policy), raising=False
    )
    monkeypatch.setattr(os, "sched_param", int, raising=False)
    monkeypatch.setattr(os, "SCHED_BATCH", 3, raising=False)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield given
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> MakeServe:
    """Return a function that replaces the server by a function of the application."""

    def replace(serve: Serve) -> None:
        class Server:
            def __init__(self, _settings: Any, application: WSGIApplication, *_: Any) -> None:
                self._application = application

            def run(self) -> None:
                serve(self._application)

        monkeypatch.setattr(service, "Server", Server)

    return replace


def call(application: WSGIApplication) -> bytes:
    """Send one request to the application, as a server would."""
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/sum",
        "CONTENT_TYPE": "application/json",
        "wsgi.input": BytesIO(b'{"a":2,"b":40}'),
    }
    return b"".join(application(environ, lambda *_: lambda _: None))


def events(capture: Capture) -> list[str]:
    """Return the names of the events on standard output."""
    return [json.loads(line)["event"] for line in capture.readouterr().out.splitlines()]


@pytest.mark.usefixtures("environ")
def test_a_sandbox_may_forbid_batch_scheduling(
    monkeypatch: pytest.MonkeyPatch, serving: MakeServe
) -> None:
    """The service then runs as an ordinary process."""
    served: list[WSGIApplication] = []

    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    serving(served.append)
    assert service.main() == 0
    assert served


@pytest.mark.usefixtures("environ")
def test_a_stopped_service_exits_with_0(
    serving: MakeServe, policies: list[int], capfd: Capture
) -> None:
    """A batch process logs its requests and then its stop, and exits with 0."""
    answers = []
    serving(lambda application: answers.append(call(application)))

    assert service.main() == 0
    assert answers == [b'{"sum":42}']
    assert policies == [os.SCHED_BATCH]
    assert events(capfd) == ["request", "stopped"]


@pytest.mark.usefixtures("environ")
def test_no_signal_interrupts_the_start(serving: MakeServe) -> None:
    """Signals to stop stay pending until the server waits for them."""
    blocked: set[signal.Signals | int] = set()
    serving(lambda _: blocked.update(signal.pthread_sigmask(signal.SIG_BLOCK, ())))

    service.main()

    assert blocked >= {signal.SIGTERM, signal.SIGINT}


def test_the_environment_is_empty_when_requests_arrive(
    serving: MakeServe, environ: dict[str, str], capfd: Capture
) -> None:
    """The key is required, and no environ, child process or log line shows it."""
    environ |= {"API_KEY": KEY, "REQUIRE_API_KEY": "true", "PATH": "/bin"}
    seen = []
    serving(lambda application: seen.append((json.loads(call(application))["status"], {**environ})))

    assert service.main() == 0
    assert seen == [(401, {})]
    assert KEY not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"REQUIRE_API_KEY": "true", "API_KEY": EXAMPLE_KEY}, ["example key in use"]),
        ({"REQUIRE_API_KEY": "true", "API_KEYS": f"a={EXAMPLE_KEY}"}, ["example key in use"]),
        ({"REQUIRE_API_KEY": "true", "API_KEYS": f"a={KEY}", "API_KEY": EXAMPLE_KEY}, []),
        ({"API_KEY": EXAMPLE_KEY}, []),
    ],
)
def test_the_example_key_in_use_causes_a_warning(
    serving: MakeServe,
    environ: dict[str, str],
    capfd: Capture,
    given: dict[str, str],
    expected: list[str],
) -> None:
    """One line says what to do and does not show the key."""
    environ |= given | {"LOG_LEVEL": "warning"}
    serving(lambda _: None)

    assert service.main() == 0
    out = capfd.readouterr().out
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in lines] == expected
    assert all("set API_KEY to a key of 16 characters" in line["message"] for line in lines)
    assert EXAMPLE_KEY not in out


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ACCESS_LOG", "false", ["stopped"]),
        ("LOG_LEVEL", "warning", []),
    ],
)
def test_settings_limit_the_log(
    serving: MakeServe,
    environ: dict[str, str],
    capfd: Capture,
    name: str,
    value: str,
    expected: list[str],
) -> None:
    """Settings can turn off access lines and all entries below a warning."""
    environ[name] = value
    serving(lambda application: (call(application), None)[1])

    assert service.main() == 0
    assert events(capfd) == expected


def test_an_address_that_cannot_be_bound_is_reported_in_one_line(
    serving: MakeServe, environ: dict[str, str], capfd: Capture
) -> None:
    """The line names the address and the reason, and the exit code is 1."""

    def fail(_application: WSGIApplication) -> None:
        raise OSError("Address already in use (os error 98)")

    serving(fail)
    environ |= {"HOST": "192.0.2.1", "PORT": "8088"}

    assert service.main() == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "zama-api: cannot listen on 192.0.2.1:8088: Address already in use (os error 98)\n"
    )


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize("error", [ArithmeticError, KeyboardInterrupt, SystemExit])
def test_finished_requests_are_logged_even_after_a_crash(
    serving: MakeServe, capfd: Capture, error: type[BaseException]
) -> None:
    """A crash keeps its exception, and every finished request is logged."""

    def fail(application: WSGIApplication) -> None:
        call(application)
        raise error

    serving(fail)

    with pytest.raises(error):
        service.main()
    assert events(capfd) == ["request"]


def test_an_invalid_setting_stops_the_start_with_one_line(
    environ: dict[str, str], capfd: Capture
) -> None:
    """The line on standard error names the variable, and the exit code is 2."""
    environ["PORT"] = "http"

    assert service.main() == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "zama-api: PORT='http' cannot be used: it must be a whole number from 1 to 65535\n"
    )


# --- As a program ---------------------------------------------------------------------------------


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[..., None]]:
    """Record the signal handlers that the program sets, and make the end of the process visible."""
    handlers: dict[int, Callable[..., None]] = {}

    def end(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(os, "_exit", end)
    return handlers


def test_the_exit_code_is_the_services(
    monkeypatch: pytest.MonkeyPatch, handlers: dict[int, Callable[..., None]]
) -> None:
    """The process exits with the code that `main` returns."""
    monkeypatch.setattr(service, "main", lambda: 3)

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("zama_api", run_name="__main__")

    assert ended.value.code == 3
    assert set(handlers) == {signal.SIGTERM, signal.SIGINT}


def test_a_stop_during_the_imports_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, handlers: dict[int, Callable[..., None]]
) -> None:
    """The handlers are set before the service is imported, and exit with 0."""

    class Imports:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "zama_api.service":
                handlers[signal.SIGTERM]()

    monkeypatch.delitem(sys.modules, "zama_api.service")
    monkeypatch.delattr(sys.modules["zama_api"], "service")
    monkeypatch.setattr(sys, "meta_path", [Imports(), *sys.meta_path])

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("zama_api", run_name="__main__")
    assert ended.value.code == 0
