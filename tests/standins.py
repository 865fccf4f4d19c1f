"""Stand-ins for programs that need GitHub, Sigstore or a registry."""

import json
from pathlib import Path
from typing import Final

from checkout import Checkout

# Records its arguments, and prints the prepared answers.
STAND_IN: Final = """#!/bin/sh
folder=$(dirname "$0")
echo "$(basename "$0") $*" >>"$folder/calls"
case "$*" in
*"issue list"*) cat "$folder/issues" ;;
*"run list"*) cat "$folder/runs" ;;
*"workflow list"*) cat "$folder/workflows" ;;
*"pr view"*files*) cat "$folder/files" ;;
*"pr view"*authors*) cat "$folder/authors" ;;
*"pr view"*messageBody*) cat "$folder/messages" ;;
*"image inspect"*) cat "$folder/base" ;;
esac
[ ! -e "$0.code" ] || { echo "refused" >&2; exit "$(cat "$0.code")"; }
"""


class StandIns:
    """Stand-ins that come first on the PATH of a checkout."""

    def __init__(self, folder: Path, checkout: Checkout) -> None:
        folder.mkdir()
        for name in ("gh", "cosign", "docker", "grype"):
            (folder / name).write_text(STAND_IN)
            (folder / name).chmod(0o755)
        (folder / "issues").write_text("[]")
        (folder / "runs").write_text("[]")
        (folder / "workflows").write_text("")
        self.folder = folder
        self.checkout = checkout
        self.path = f"{folder}:{checkout.path / '.venv' / 'bin'}:/usr/bin:/bin"

    def answer(self, name: str, value: object) -> None:
        """Set the answer to a list of `gh` or to the query for an image's base."""
        text = value if isinstance(value, str) else json.dumps(value)
        (self.folder / name).write_text(text)

    def exit_with(self, name: str, code: int) -> None:
        """Make a program fail with this exit code."""
        (self.folder / f"{name}.code").write_text(f"{code}")

    def zama(self, *words: str, **environ: str) -> tuple[int, str, list[str]]:
        """Return a command's exit code, its standard error and the programs it called."""
        here = {"COLUMNS": "200", "PATH": self.path, **environ}
        done = self.checkout.run("zama", *words, **here)
        calls = self.folder / "calls"
        called = calls.read_text().splitlines() if calls.exists() else []
        return done.returncode, done.stderr, called

    def write(self, name: str, text: str) -> None:
        """Write a file that an earlier step would have left."""
        path = self.checkout.path / "build" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
