"""`zama drill`: trouble on purpose, until its alert fires; then the cure, until it clears."""

import importlib.util
import json
import signal
import socket
import socketserver
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar, Final

import typer
from rich.console import Console
from rich.table import Table

from zama_ops.commands import CommandError, require
from zama_ops.console import notes, step
from zama_ops.programs import Program
from zama_ops.stage import KEY, NO_LIMIT, Alert, Stage

# Beyond what an alert promises: scrapes, evaluations, and a machine that has other things to do.
_PATIENCE_SECONDS: Final = 30


class DrillError(Exception):
    """What did not happen as it should."""


class Drill(ABC):
    """A trouble and its cure. The first line of the docstring says what happens."""

    alerts: ClassVar[tuple[Alert, ...]]
    """Those that must fire, and clear; the runbook of the first has the cure."""
    minutes: ClassVar[tuple[float, float]]
    """Within which they must fire after the trouble began, and clear after the cure."""
    cure_is: ClassVar[str]
    """What the runbook says to do."""

    task_count: ClassVar[int] = 1
    rate: ClassVar[float] = 10
    rate_limit: ClassVar[int] = NO_LIMIT

    @abstractmethod
    def trouble(self, stage: Stage) -> None:
        """Make it happen."""

    @abstractmethod
    def cure(self, stage: Stage) -> None:
        """Do what the runbook says."""


class ApiKilled(Drill):
    """The API is killed and nobody starts it again."""

    alerts = (Alert("AvailabilityBudgetBurn", "1h"), Alert("NoHealthyTask"))
    minutes = (4, 8)
    cure_is = "start the API again"

    def trouble(self, stage: Stage) -> None:
        """Kill it."""
        stage.tasks[0].api.process.kill()

    def cure(self, stage: Stage) -> None:
        """Start it."""
        stage.tasks[0].start_api()


class ApiSlow(Drill):
    """The API gets too little CPU: it stands still four fifths of the time."""

    alerts = (Alert("LatencyBudgetBurn", "1h"),)
    minutes = (15, 8)
    cure_is = "give it CPU: here, stop what takes it"

    def trouble(self, stage: Stage) -> None:
        """Take the CPU away."""
        self._stutter = Stutter(stage.tasks[0].api)

    def cure(self, stage: Stage) -> None:
        """Give it back."""
        del stage
        self._stutter.stop()


class KeyWrong(Drill):
    """A rotation took the old key away while callers still use it."""

    alerts = (Alert("KeysRefused"),)
    minutes = (6, 6)
    cure_is = "deploy the old key beside the new one"

    def trouble(self, stage: Stage) -> None:
        """Deploy another key alone."""
        stage.tasks[0].stop_gateway()
        stage.tasks[0].start_gateway("callers=a-new-key")

    def cure(self, stage: Stage) -> None:
        """Deploy both."""
        stage.tasks[0].stop_gateway()
        stage.tasks[0].start_gateway(f"callers=a-new-key callers={KEY}")


class RateLimited(Drill):
    """A caller sends four times what it may."""

    alerts = (Alert("RateLimitHit"),)
    minutes = (6, 6)
    cure_is = "have the caller send less, or raise the limit"
    rate = 4
    rate_limit = 5

    def trouble(self, stage: Stage) -> None:
        """Send more."""
        stage.callers.rate = 20

    def cure(self, stage: Stage) -> None:
        """Send less."""
        stage.callers.rate = self.rate


class TaskUnhealthy(Drill):
    """One of two tasks hangs: it holds its port and answers nobody."""

    alerts = (Alert("UnhealthyTasks"),)
    minutes = (5, 3)
    cure_is = "replace the task"
    task_count = 2

    def trouble(self, stage: Stage) -> None:
        """Stop it in its tracks."""
        stage.tasks[1].api.process.send_signal(signal.SIGSTOP)

    def cure(self, stage: Stage) -> None:
        """End it and start another."""
        process = stage.tasks[1].api.process
        process.kill()
        process.wait()
        stage.tasks[1].start_api()


class KeepaliveRace(Drill):
    """Something between gateway and API closes connections that the gateway still uses."""

    alerts = (Alert("UpstreamRetries"),)
    minutes = (3, 12)
    cure_is = "have the API keep idle connections for longer than the gateway does"

    def trouble(self, stage: Stage) -> None:
        """Put it there."""
        task = stage.tasks[0]
        self._neighbour = Neighbour(task.api_port)
        task.stop_gateway()
        task.start_gateway(api_port=self._neighbour.port)

    def cure(self, stage: Stage) -> None:
        """Take it away."""
        task = stage.tasks[0]
        task.stop_gateway()
        task.start_gateway()
        self._neighbour.stop()


class Silence(Drill):
    """No request comes any more, though somebody always calls."""

    alerts = (Alert("NoRequests"),)
    minutes = (12, 2)
    cure_is = "find out what keeps requests away; here, call again"

    def trouble(self, stage: Stage) -> None:
        """Call no more."""
        stage.callers.rate = 0

    def cure(self, stage: Stage) -> None:
        """Call again."""
        stage.callers.rate = self.rate


DRILLS: Final[dict[str, type[Drill]]] = {
    "api-killed": ApiKilled,
    "api-slow": ApiSlow,
    "key-wrong": KeyWrong,
    "rate-limited": RateLimited,
    "task-unhealthy": TaskUnhealthy,
    "keepalive-race": KeepaliveRace,
    "silence": Silence,
}


# --- Means ----------------------------------------------------------------------------------------


class Stutter:
    """Keeps a process from running four fifths of the time."""

    def __init__(self, program: Program) -> None:
        self._process = program.process
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._stutter, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let it run again."""
        self._stopped.set()
        self._thread.join()

    def _stutter(self) -> None:
        while not self._stopped.is_set():
            self._process.send_signal(signal.SIGSTOP)
            self._stopped.wait(0.4)
            self._process.send_signal(signal.SIGCONT)
            self._stopped.wait(0.1)


class Neighbour(socketserver.ThreadingTCPServer):
    """Hands on requests to the API, and closes each connection just as its second one comes.

    An API whose keep-alive is shorter than the gateway's does that by bad luck; this one always.
    """

    daemon_threads = True

    def __init__(self, api_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.api_port = api_port
        self.port: int = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Accept no more."""
        self.shutdown()
        self.server_close()


class _Connection(socketserver.BaseRequestHandler):
    server: Neighbour

    def handle(self) -> None:
        """Hand on one request and its answer; wait for the next, and close."""
        with socket.create_connection(("127.0.0.1", self.server.api_port)) as api:
            api.sendall(self.request.recv(65536))
            self.request.sendall(api.recv(65536))
        self.request.recv(65536)


# --- Play -----------------------------------------------------------------------------------------


def perform(drill: Drill, speed: float, picture: Path | None) -> list[dict[str, str | float]]:
    """Play a drill; return for each alert after how many seconds it fired and cleared.

    The seconds are as the rules count them: `speed` times those that passed.

    Raises:
        DrillError: an alert fired too early, or did not fire or clear in time.

    """
    fire_minutes, clear_minutes = drill.minutes
    if picture and not importlib.util.find_spec("matplotlib"):
        raise DrillError("--picture needs what the tests install: run `make test` first.")
    began = datetime.now(UTC)
    with ExitStack() as ends:
        with step("Starting API, gateway, Prometheus and callers"):
            stage = ends.enter_context(Stage(speed, drill.task_count, drill.rate, drill.rate_limit))
        with step("All is well"):
            stage.let_pass(minutes=2)
            # Those that wait to fire do so because the parts were just starting.
            _wait(stage, drill, 1, "clear", lambda state: state is None)
            early = [alert for alert, state in stage.alerts().items() if state == "firing"]
            if early:
                raise DrillError(f"Before the trouble fires: {_list(early)}")
        with step(f"{(type(drill).__doc__ or '').rstrip('.')}: {_list(drill.alerts)}"):
            drill.trouble(stage)
            fired = _wait(stage, drill, fire_minutes, "fire", lambda state: state == "firing")
        with step(f"The cure: {drill.cure_is}"):
            drill.cure(stage)
            cleared = _wait(stage, drill, clear_minutes, "clear", lambda state: state != "firing")
        if picture:
            from zama_ops.picture import draw  # noqa: PLC0415 - needs what only tests install

            with step(f"Drawing {picture}"):
                stage.let_pass(minutes=2)
                title = (
                    f"{type(drill).__doc__} Measured in a drill on one machine,"
                    f" {began:%Y-%m-%d}; the rules' durations divided by {speed:g}."
                )
                draw(stage.prometheus, began, speed, title, picture)
    return [
        {"alert": str(alert), "fired_after": fired[alert], "cleared_after": cleared[alert]}
        for alert in drill.alerts
    ]


def _wait(
    stage: Stage,
    drill: Drill,
    minutes: float,
    verb: str,
    holds: Callable[[str | None], bool],
) -> dict[Alert, float]:
    """Return after how many seconds it held for each of the drill's alerts."""
    began = time.monotonic()
    deadline = began + minutes * 60 / stage.speed + _PATIENCE_SECONDS
    held: dict[Alert, float] = {}
    while missing := [alert for alert in drill.alerts if alert not in held]:
        if time.monotonic() > deadline:
            raise DrillError(f"Within {minutes} minutes did not {verb}: {_list(missing)}")
        time.sleep(0.1)
        states = stage.alerts()
        passed = round((time.monotonic() - began) * stage.speed, 1)
        held |= {alert: passed for alert in missing if holds(states.get(alert))}
    return held


def _list(alerts: Iterable[Alert]) -> str:
    return ", ".join(sorted(map(str, alerts)))


# --- Command --------------------------------------------------------------------------------------

app: Final = typer.Typer(
    help="Make trouble on purpose, see its alert fire, cure it, see the alert clear.\n\n"
    "The real API and gateway run on ports of their own and are called all the time; a real"
    " Prometheus, which must be on the PATH, evaluates the rules of observability/prometheus."
    " Exit code 1: an alert did not fire or clear within the time that it promises, or one fired"
    " before the trouble.",
    no_args_is_help=True,
)


def command(name: str, drill: type[Drill]) -> Callable[..., None]:
    """Return the command that plays a drill."""

    def play(
        *,
        speed: Annotated[
            float,
            typer.Option(min=1, max=60, help="Divide the rules' durations; 1 is real time."),
        ] = 10,
        picture: Annotated[
            Path | None,
            typer.Option(help="Draw the dashboard to this PNG (needs `make test` to have run)."),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    ) -> None:
        # As Ctrl-C does: what was started is ended.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            require("prometheus")
            result = perform(drill(), speed, picture)
        except (DrillError, CommandError, RuntimeError, TimeoutError) as error:
            notes.print(f"zama: {error}", style="red", markup=False)
            raise typer.Exit(1) from None
        if as_json:
            typer.echo(json.dumps({"drill": name, "speed": speed, "alerts": result}, indent=2))
            return
        table = Table("alert", "fired after", "cleared after")
        for one in result:
            seconds = (float(one[key]) for key in ("fired_after", "cleared_after"))
            table.add_row(str(one["alert"]), *(f"{value / 60:.1f} min" for value in seconds))
        Console().print(table)

    play.__doc__ = f"{drill.__doc__}\n\nFires {_list(drill.alerts)}. The cure: {drill.cure_is}."
    return play


for _name, _drill in DRILLS.items():
    app.command(_name)(command(_name, _drill))
