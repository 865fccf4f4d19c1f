"""Programs as processes of this machine, and waiting for them."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

START_SECONDS: Final = 10
STOP_SECONDS: Final = 30

_given_ports: Final[set[int]] = set()


def free_port() -> int:
    """Return a TCP port on which nobody listens, another each time.

    The kernel alone may name one twice before anybody listens there, and the API shares its port
    with a successor: two callers would talk to each other's.
    """
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def wait_until(condition: Callable[[], object], what: str, seconds: float = START_SECONDS) -> None:
    """Return as soon as `condition` holds.

    Raises:
        TimeoutError: it does not hold within `seconds`.

    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


@dataclass
class Program:
    """A running program; what it prints goes to two files."""

    name: str
    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    def wait_until(self, answers: Callable[[], object], seconds: float = START_SECONDS) -> None:
        """Return as soon as it answers.

        Raises:
            RuntimeError: it has ended; with what it printed.
            TimeoutError: it does not answer within `seconds`.

        """

        def has_started() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended at once: {self.stderr.read_text()}")
            return bool(answers())

        wait_until(has_started, f"{self.name} answers", seconds)


@dataclass
class Programs:
    """Starts programs; as a context manager it ends them all, come what may.

    Arguments:
        directory: for what they print.

    """

    directory: Path
    started: list[Program] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Run until the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs."""
        self.end()

    def start(self, name: str, command: Sequence[str], settings: Mapping[str, str]) -> Program:
        """Start a program with these settings beside those of this process."""
        base = self.directory / f"{name}-{len(self.started)}"
        stdout, stderr = base.with_suffix(".stdout"), base.with_suffix(".stderr")
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(
                command,
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                # A terminal's Ctrl-C is not for them; and all that they start can be ended.
                start_new_session=True,
            )
        program = Program(name, process, stdout, stderr)
        self.started.append(program)
        return program

    def end(self) -> None:
        """End what still runs: gently, and if that fails with all it started."""
        processes = [program.process for program in self.started]
        for process in processes:
            process.terminate()
            # One that was stopped in its tracks could not end.
            process.send_signal(signal.SIGCONT)
        for process in processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            finally:
                # What it started and left behind: a killed nginx leaves its worker.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
