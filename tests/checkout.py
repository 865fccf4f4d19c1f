"""The working tree as a commit in a separate repository, for tests that break it."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from zama_ops.paths import ROOT
from zama_ops.programs import run

# Compiled modules stay, because compiling all tests takes seconds; those being written do not.
_LEFT_BEHIND: Final = shutil.ignore_patterns(
    ".git", ".venv", ".aws-local", ".terraform", ".hypothesis", ".*_cache", "*.pyc.*", "build"
)
# Hypothesis's tables of Unicode take seconds, and mypy's first run a quarter of a minute.
_CACHES: Final = {
    "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),
    "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache"),
}

_GIT: Final = (
    *("-c", "user.name=A Developer", "-c", "user.email=developer@zama.example"),
    # A commit of everything takes half the time without compression.
    *("-c", "core.looseCompression=0"),
)
_PACKAGES: Final = ("ops", "emulator", "services/api")


def pages() -> list[Path]:
    """Return the Markdown files that git tracks or would add."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md")
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).exists()]


@dataclass(frozen=True)
class Checkout:
    """A copy of the working tree with its own history, which shares the installed packages."""

    path: Path

    @classmethod
    def make(cls, path: Path) -> Self:
        """Copy and commit the working tree; installed packages count as up to date."""
        shutil.copytree(ROOT, path, ignore=_LEFT_BEHIND, symlinks=True)
        (path / ".venv").symlink_to(ROOT / ".venv")
        checkout = cls(path)
        checkout.git("init", "--quiet", "--initial-branch=main")
        (path / ".git" / "info" / "exclude").write_text(".venv\n")
        checkout.commit()
        return checkout

    def git(self, *words: str) -> str:
        done = self.run("git", *_GIT, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A change")
        return self.git("rev-parse", "HEAD")

    def reset(self) -> None:
        """Undo all changes since the last commit, except to ignored files."""
        self.git("reset", "--quiet", "--hard")
        self.git("clean", "--quiet", "--force", "-d")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.path / name
        before = path.read_text()
        assert before.count(old) == 1, f"{name} has {old!r} {before.count(old)} times"
        path.write_text(before.replace(old, new))

    def start(
        self, command: Sequence[str], environ: Mapping[str, str], group: int | None = None
    ) -> subprocess.Popen[str]:
        """Start a command in it with its own code; `group=0` makes a new process group."""
        sources = os.pathsep.join(str(self.path / folder / "src") for folder in _PACKAGES)
        programs = f"{self.path / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            command,
            cwd=self.path,
            env={**os.environ, **_CACHES, "PYTHONPATH": sources, "PATH": programs, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=group,
        )

    def run(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        with self.start(command, environ) as process:
            stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
