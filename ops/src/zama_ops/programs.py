"""Runs other programs, in the foreground or in the background."""

import contextlib
import functools
import itertools
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from zama_ops.errors import CommandError
from zama_ops.paths import ROOT

START_SECONDS: Final = 30
STOP_SECONDS: Final = 30

# Below the kernel's range for outgoing connections.
_PORTS: Final = range(20_000, 32_000)
_PORTS_OF_A_PROCESS: Final = 250


def require(*commands: str) -> None:
    """Check that these commands are on the PATH."""
    for command in commands:
        if not shutil.which(command):
            package = "graphviz" if command == "dot" else command
            raise CommandError(f"There is no {command} on the PATH: install {package}.")


def run(*command: str, **environ: str) -> str:
    """Run a command, which must succeed, in the repository's root; return its standard output."""
    require(command[0])
    done = complete(*command, **environ)
    if done.returncode:
        raise CommandError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def complete(
    *command: str, cwd: Path | str = ROOT, given: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a command, with `given` on its standard input; return its exit code and its output."""
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environ},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def free_port(count: int = 1) -> int:
    """Return the first of `count` consecutive free TCP ports.

    Each process has a separate range. An API shares its port with its successor (SO_REUSEPORT), so
    two processes with the same port would silently call each other's API.
    """
    while True:
        ports = list(itertools.islice(_own_ports(), count))
        if ports[-1] - ports[0] == count - 1 and all(map(is_free, ports)):
            return ports[0]


@functools.cache
def _own_ports() -> Iterator[int]:
    for first in _PORTS[::_PORTS_OF_A_PROCESS]:
        guard = socket.socket()
        with contextlib.suppress(OSError):
            guard.bind(("127.0.0.1", first))
            # Holding the first port reserves the range for this process.
            guard.detach()
            return itertools.cycle(range(first + 1, first + _PORTS_OF_A_PROCESS))
        guard.close()
    raise CommandError(f"All TCP ports from {_PORTS[0]} to {_PORTS[-1]} are in use.")


def is_free(port: int) -> bool:
    """Say whether a program could listen on a TCP port of the loopback address."""
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False


def wait_until(condition: Callable[[], object], what: str, seconds: float = START_SECONDS) -> None:
    """Wait until `condition` holds, which it must do within `seconds`.

    Many conditions are expensive questions, so the pauses grow to a second, but add at most a
    twentieth to the wait.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > seconds:
            raise CommandError(f"{what}: not within {seconds} s")
        time.sleep(min(max(0.01, waited / 20), 1))


@dataclass
class Program:
    """A running program, with its output in two files."""

    name: str
    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    def wait_until(self, answers: Callable[[], object], seconds: float = START_SECONDS) -> None:
        """Wait until it answers; if it ends instead, the message has its output."""

        def has_started() -> bool:
            if self.process.poll() is not None:
                raise CommandError(f"{self.name} failed to start: {self.stderr.read_text()}")
            return bool(answers())

        wait_until(has_started, f"{self.name} answers", seconds)


@dataclass
class Programs:
    """Starts programs with output in `directory`; as a context manager it always ends them all."""

    directory: Path
    started: list[Program] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self, name: str, command: Sequence[str], settings: Mapping[str, str]) -> Program:
        """Start a program with these settings added to this process's environment."""
        # In another thread, which no signal interrupts, so that each running program is listed.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._start, name, command, settings).result()

    def _start(self, name: str, command: Sequence[str], settings: Mapping[str, str]) -> Program:
        base = self.directory / f"{name}-{len(self.started)}"
        stdout, stderr = base.with_suffix(".stdout"), base.with_suffix(".stderr")
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(
                command,
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                # A session shields it from Ctrl-C and makes its children easy to kill.
                start_new_session=True,
            )
        program = Program(name, process, stdout, stderr)
        self.started.append(program)
        return program

    def end(self) -> None:
        """Terminate all programs, then kill any that still run, and all their children.

        Raises:
            CommandError: a program had to be killed.

        """
        for program in self.started:
            program.process.terminate()
            # A suspended process cannot end.
            program.process.send_signal(signal.SIGCONT)
        killed = []
        for program in self.started:
            process = program.process
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                killed.append(program.name)
            finally:
                # Children outlive their parent: a killed nginx leaves its worker behind.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if killed:
            raise CommandError(
                f"Killed, because they did not stop within {STOP_SECONDS} s: {', '.join(killed)}."
            )
