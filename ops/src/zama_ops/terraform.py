"""Terraform, as commands and tests run it."""

import atexit
import contextlib
import functools
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from zama_ops.errors import CommandError

Profile = Literal["minimal", "production"]
"""Of terraform/profiles."""


@dataclass(frozen=True)
class Terraform:
    """Terraform on one folder.

    Arguments:
        folder: with the configuration.
        environ: settings beside those of this process. With TF_DATA_DIR, the folder stays as it is.

    """

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def run(self, verb: str, *words: str, codes: tuple[int, ...] = (0,)) -> int:
        """Run Terraform, which prints as it goes; return its exit code.

        Ctrl-C reaches it as well, and it then stops in good order: it is waited for.

        Raises:
            CommandError: it is not one of `codes`.

        """
        # Terraform hears Ctrl-C too. Handled and not ignored, because a child inherits the latter.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            code = subprocess.run(
                self._command(verb, words), env=self._environ(), check=False
            ).returncode
        finally:
            signal.signal(signal.SIGINT, before)
        if code not in codes:
            raise CommandError(f"`terraform {verb}` failed with exit code {code}; see above.")
        return code

    def complete(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Terraform to its end; return its exit code and what it printed."""
        return subprocess.run(
            self._command(verb, words),
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def ask(self, verb: str, *words: str) -> str:
        """Run Terraform and return what it printed.

        Raises:
            CommandError: it failed; with all that it printed.

        """
        done = self.complete(verb, *words)
        if done.returncode:
            command = shlex.join(self._command(verb, words))
            raise CommandError(f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout

    def outputs(self) -> dict[str, Any]:
        """Return the outputs."""
        found = json.loads(self.ask("output", "-json"))
        return {name: output["value"] for name, output in found.items()}

    def _command(self, verb: str, words: tuple[str, ...]) -> list[str]:
        return ["terraform", f"-chdir={self.folder}", verb, *words]

    def _environ(self) -> dict[str, str]:
        settings = {"TF_INPUT": "0", "TF_IN_AUTOMATION": "1"}
        return {**os.environ, **cli_configuration(), **settings, **self.environ}


@functools.cache
def cli_configuration() -> dict[str, str]:
    """Return the environment by which Terraform finds the AWS provider.

    Empty where the registry answers, or where the user has configured Terraform. Else a folder
    `registry.terraform.io` on this machine serves as the mirror.

    Raises:
        CommandError: there is neither registry nor mirror.

    """
    if Path(os.environ.get("TF_CLI_CONFIG_FILE", "~/.terraformrc")).expanduser().exists():
        return {}
    with contextlib.suppress(OSError), socket.create_connection(("registry.terraform.io", 443), 3):
        return {}
    depth = ["-maxdepth", "5", "-type", "d", "-name", "registry.terraform.io", "-print", "-quit"]
    search = ["find", "/opt", "/usr", "/var", str(Path.home()), *depth]
    mirror = subprocess.run(search, capture_output=True, text=True, check=False).stdout.strip()
    if not mirror:
        raise CommandError(
            "registry.terraform.io does not answer, and there is no folder of that name to take"
            " the AWS provider from (`terraform providers mirror` makes one)."
        )
    directory = Path(tempfile.mkdtemp(prefix="zama-terraform-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = directory / "terraform.rc"
    folder = json.dumps(str(Path(mirror).parent))
    path.write_text(f"provider_installation {{ filesystem_mirror {{ path = {folder} }} }}\n")
    return {"TF_CLI_CONFIG_FILE": str(path)}
