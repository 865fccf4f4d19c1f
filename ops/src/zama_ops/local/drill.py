"""`zama drill`: cause an incident until its alert fires, then fix it until the alert clears."""

import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from zama_ops.console import Table, errors_told, show, step
from zama_ops.errors import CommandError
from zama_ops.local.sandbox import KEY, NO_LIMIT, Alert, Sandbox
from zama_ops.options import AsJson, Picture, require_drawable
from zama_ops.programs import require

# For a busy machine, which skips evaluations of the rules; the alerts' limits do not count those.
_PATIENCE_SECONDS: Final = 60


Cure = Callable[[], object]
"""Applies the runbook's mitigation."""


@dataclass(frozen=True)
class Drill:
    """An incident and its cure.

    Arguments:
        trouble: causes the incident and returns its cure.
        summary: what happens, in one sentence.
        mitigation: the mitigation in the first alert's runbook.
        alerts: the alerts that must fire and clear.
        minutes: the limits for firing after the incident began and for clearing after the cure.
        task_count: the number of tasks.
        rate: the callers' requests/s.
        rate_limit: the gateway's limit in requests/s.

    """

    trouble: Callable[[Sandbox], Cure]
    summary: str
    mitigation: str
    alerts: tuple[Alert, ...]
    minutes: tuple[float, float]
    task_count: int = 1
    rate: float = 10
    rate_limit: int = NO_LIMIT


def _kill_api(sandbox: Sandbox) -> Cure:
    sandbox.tasks[0].api.process.kill()
    return sandbox.tasks[0].start_api


def _starve_api(sandbox: Sandbox) -> Cure:
    process, cured = sandbox.tasks[0].api.process, threading.Event()

    def pause_and_resume() -> None:
        while not cured.is_set():
            process.send_signal(signal.SIGSTOP)
            cured.wait(0.4)
            process.send_signal(signal.SIGCONT)
            cured.wait(0.1)

    threading.Thread(target=pause_and_resume, daemon=True).start()
    return cured.set


def _replace_key(sandbox: Sandbox) -> Cure:
    sandbox.tasks[0].restart_gateway("callers=a-new-and-longer-key")
    return partial(sandbox.tasks[0].restart_gateway, f"callers=a-new-and-longer-key callers={KEY}")


def _call(sandbox: Sandbox, rate: float) -> Cure:
    sandbox.callers.rate = rate
    return partial(setattr, sandbox.callers, "rate", sandbox.rate)


def _hang_task(sandbox: Sandbox) -> Cure:
    process = sandbox.tasks[1].api.process
    process.send_signal(signal.SIGSTOP)

    def replace() -> None:
        process.kill()
        process.wait()
        sandbox.tasks[1].start_api()

    return replace


def _close_connections(sandbox: Sandbox) -> Cure:
    proxy = ClosingProxy(sandbox.tasks[0].api_port)
    sandbox.tasks[0].restart_gateway(api_port=proxy.port)

    def remove() -> None:
        sandbox.tasks[0].restart_gateway()
        proxy.stop()

    return remove


def _kill_counter(sandbox: Sandbox) -> Cure:
    sandbox.tasks[0].counter.process.kill()
    sandbox.tasks[0].counter.process.wait()
    return sandbox.tasks[0].start_counter


DRILLS: Final = {
    "api-killed": Drill(
        _kill_api,
        "The API is killed and not restarted.",
        "start the API again",
        (Alert("AvailabilityBudgetBurn", "1h"), Alert("NoHealthyTask")),
        minutes=(4, 8),
    ),
    "api-slow": Drill(
        _starve_api,
        "The API lacks CPU: it is suspended for four fifths of the time.",
        "give the API CPU; here, stop suspending it",
        (Alert("LatencyBudgetBurn", "1h"),),
        minutes=(15, 8),
    ),
    "key-wrong": Drill(
        _replace_key,
        "A rotation removed the old key while callers still use it.",
        "deploy the old key beside the new one",
        (Alert("KeysRefused"),),
        minutes=(12, 6),
    ),
    "rate-limited": Drill(
        partial(_call, rate=20),
        "A caller sends four times its rate limit.",
        "have the caller send less, or raise the limit",
        (Alert("RateLimitHit"),),
        minutes=(6, 6),
        rate=4,
        rate_limit=5,
    ),
    "task-unhealthy": Drill(
        _hang_task,
        "One of two tasks hangs: it keeps its port open but does not answer.",
        "replace the task",
        (Alert("UnhealthyTasks"),),
        minutes=(5, 3),
        task_count=2,
    ),
    "keepalive-race": Drill(
        _close_connections,
        "Connections between gateway and API are closed while the gateway still uses them.",
        "have the API keep idle connections open for longer than the gateway does",
        (Alert("UpstreamRetries"),),
        minutes=(3, 12),
    ),
    "telemetry-lost": Drill(
        _kill_counter,
        "The program that counts the gateway's requests is killed and not restarted.",
        "start it again",
        (Alert("TelemetryLost"),),
        minutes=(7, 2),
    ),
    "silence": Drill(
        partial(_call, rate=0),
        "Requests stop, although someone always calls.",
        "find out what stops the requests; here, call again",
        (Alert("NoRequests"),),
        minutes=(12, 2),
    ),
}


class ClosingProxy(socketserver.ThreadingTCPServer):
    """Forwards requests to the API, and closes each connection just as its second request comes.

    An API whose keep-alive is shorter than the gateway's does this sometimes; the proxy always.
    """

    daemon_threads = True

    def __init__(self, api_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.api_port = api_port
        self.port: int = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Stop accepting connections."""
        self.shutdown()
        self.server_close()


class _Connection(socketserver.BaseRequestHandler):
    server: ClosingProxy

    def handle(self) -> None:
        """Forward one request and its answer, wait for the next request, and close."""
        with socket.create_connection(("127.0.0.1", self.server.api_port)) as api:
            api.sendall(self.request.recv(65536))
            self.request.sendall(api.recv(65536))
        self.request.recv(65536)


def perform(drill: Drill, speed: float, picture: Path | None) -> list[dict[str, str | float]]:
    """Run a drill; return how many seconds each alert took to fire and to clear.

    Seconds are in the rules' time: `speed` times the real seconds.
    """
    fire_minutes, clear_minutes = drill.minutes
    require_drawable(picture)
    began = datetime.now(UTC)
    with ExitStack() as ends:
        with step("Starting API, gateway, Prometheus and callers"):
            sandbox = ends.enter_context(
                Sandbox(speed, drill.task_count, drill.rate, drill.rate_limit)
            )
        with step("Running without a fault"):
            sandbox.let_pass(minutes=2)
            # Pending alerts are from the start of the parts.
            _wait(sandbox, drill, 6, "clear", lambda state: state is None)
            early = [alert for alert, state in sandbox.alerts().items() if state == "firing"]
            if early:
                raise CommandError(f"These alerts fired before the incident: {_list(early)}")
        with step(f"{drill.summary.rstrip('.')}: {_list(drill.alerts)}"):
            cure = drill.trouble(sandbox)
            fired = _wait(sandbox, drill, fire_minutes, "fire", lambda state: state == "firing")
        with step(f"Mitigation: {drill.mitigation}"):
            cure()
            cleared = _wait(sandbox, drill, clear_minutes, "clear", lambda state: state != "firing")
        if picture:
            from zama_ops.local.dashboard_picture import draw  # noqa: PLC0415 - matplotlib is optional

            with step(f"Drawing {picture}"):
                sandbox.let_pass(minutes=2)
                title = (
                    f"{drill.summary} Drill on one machine, {began:%Y-%m-%d};"
                    f" durations in the rules are divided by {speed:g}."
                )
                draw(sandbox.prometheus, began, speed, title, picture)
    return [
        {"alert": str(alert), "fired_after": fired[alert], "cleared_after": cleared[alert]}
        for alert in drill.alerts
    ]


def _wait(
    sandbox: Sandbox,
    drill: Drill,
    minutes: float,
    verb: str,
    holds: Callable[[str | None], bool],
) -> dict[Alert, float]:
    """Return after how many seconds of evaluated rules the condition held for each alert."""
    began = sandbox.evaluated_seconds()
    deadline = time.monotonic() + minutes * 60 / sandbox.speed + _PATIENCE_SECONDS
    held: dict[Alert, float] = {}
    while missing := [alert for alert in drill.alerts if alert not in held]:
        time.sleep(0.1)
        states, passed = sandbox.alerts(), sandbox.evaluated_seconds() - began
        held |= {alert: passed for alert in missing if holds(states.get(alert))}
        late = passed > minutes * 60 or time.monotonic() > deadline
        if late and (never := set(missing) - set(held)):
            raise CommandError(
                f"These alerts did not {verb} within {minutes} minutes: {_list(never)}"
            )
    return held


def _list(alerts: Iterable[Alert]) -> str:
    return ", ".join(sorted(map(str, alerts)))


app: Final = typer.Typer(
    help="Cause an incident, watch its alert fire, fix it, and watch the alert clear.\n\n"
    "The real API and gateway run on separate ports under constant load. A real Prometheus, which"
    " must be on the PATH, evaluates the rules of observability/prometheus. Exit code 1: an alert"
    " did not fire or clear in time, or fired before the incident.",
    no_args_is_help=True,
)


def command(name: str, drill: Drill) -> Callable[..., None]:
    """Return the command that runs a drill."""

    def play(
        *,
        speed: Annotated[
            float,
            typer.Option(min=1, max=60, help="Divide the rules' durations; 1 is real time."),
        ] = 10,
        picture: Picture = None,
        as_json: AsJson = False,
    ) -> None:
        # End all programs on SIGTERM, as on Ctrl-C.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        with errors_told():
            require("prometheus")
            result = perform(drill, speed, picture)
        table = Table("alert", "fired after", "cleared after")
        for one in result:
            seconds = (float(one[key]) for key in ("fired_after", "cleared_after"))
            table.add_row(str(one["alert"]), *(f"{value / 60:.1f} min" for value in seconds))
        show({"drill": name, "speed": speed, "alerts": result}, table, as_json=as_json)

    play.__doc__ = (
        f"{drill.summary}\n\nFires {_list(drill.alerts)}. Mitigation: {drill.mitigation}."
    )
    return play


for _name, _one in DRILLS.items():
    app.command(_name)(command(_name, _one))
