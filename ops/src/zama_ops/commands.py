"""Other programs' commands, run to their end in the repository's root."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]


class CommandError(Exception):
    """What went wrong, and what to do about it."""


def require(*commands: str) -> None:
    """See that these commands are on the PATH, before anything is begun.

    Raises:
        CommandError: one is not.

    """
    for command in commands:
        if not shutil.which(command):
            package = "graphviz" if command == "dot" else command
            raise CommandError(f"There is no {command} on the PATH: install {package}.")


def run(*command: str, **environ: str) -> str:
    """Run a command in the repository's root and return what it prints.

    Raises:
        CommandError: it failed; with all that it printed.

    """
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout
