"""Runs Terraform for commands and tests."""

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
from zama_ops.paths import TERRAFORM
from zama_ops.programs import complete

Profile = Literal["minimal", "production"]
"""A profile in terraform/profiles."""


@dataclass(frozen=True)
class Terraform:
    """Terraform in one folder, with `environ` added to this process's environment.

    TF_DATA_DIR in it keeps the folder unchanged.
    """

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def run(self, verb: str, *words: str, codes: tuple[int, ...] = (0,)) -> int:
        """Run Terraform with its output shown, and return its exit code.

        In a workflow, a plan is not shown: anyone can read the log of a public repository. After
        Ctrl-C, wait until Terraform has shut down cleanly.
        """
        # Terraform receives Ctrl-C as well. A handler, because a child inherits an ignored signal.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            hidden = verb == "plan" and os.environ.get("GITHUB_ACTIONS") == "true"
            code = subprocess.run(
                self._command(verb, words),
                env=self._environ(),
                stdout=subprocess.DEVNULL if hidden else None,
                check=False,
            ).returncode
        finally:
            signal.signal(signal.SIGINT, before)
        if code not in codes:
            raise CommandError(f"`terraform {verb}` failed with exit code {code}; see above.")
        return code

    def complete(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Terraform and return its exit code and output."""
        return complete(*self._command(verb, words), **self._environ())

    def ask(self, verb: str, *words: str) -> str:
        """Run Terraform and return its standard output."""
        done = self.complete(verb, *words)
        if done.returncode:
            command = shlex.join(self._command(verb, words))
            raise CommandError(f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout

    def outputs(self) -> dict[str, Any]:
        """Return Terraform's outputs, by name."""
        outputs = json.loads(self.ask("output", "-json"))
        return {name: output["value"] for name, output in outputs.items()}

    def serial(self) -> int:
        """Return the state's serial number, which every change increments; 0 if there is no state.

        Raises:
            CommandError: the state cannot be read.

        """
        state = self.ask("state", "pull")
        return int(json.loads(state)["serial"]) if state.strip() else 0

    def _command(self, verb: str, words: tuple[str, ...]) -> list[str]:
        return ["terraform", f"-chdir={self.folder}", verb, *words]

    def _environ(self) -> dict[str, str]:
        settings = {"TF_INPUT": "0", "TF_IN_AUTOMATION": "1"}
        return {**os.environ, **cli_configuration(), **settings, **self.environ}


def with_backend(configuration: Path, folder: Path) -> Path:
    """Link a configuration into a folder, add the S3 backend, and return its path there.

    The configuration itself has no backend, so that a plan by hand needs no bucket. Its
    terraform.tfvars is left out: a deployment depends only on the commit and on its arguments.
    """
    target = folder / configuration.name
    target.mkdir(parents=True, exist_ok=True)
    for old in (path for path in target.iterdir() if path.is_symlink()):
        old.unlink()
    for path in (*configuration.glob("*.tf"), *configuration.glob(".terraform.lock.hcl")):
        (target / path.name).symlink_to(path)
    for name in (f"{configuration.name}/profiles", "observability"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(configuration.parent / name)
    # It replaces the backend of backend.tf, or of a commit that has one.
    shutil.copy(TERRAFORM / "backend.tf.example", target / "backend_override.tf")
    return target


@functools.cache
def mirror() -> Path | None:
    """Return the folder on this machine that replaces the registry, or None if none is needed.

    None is needed if the registry answers or the user has configured Terraform. Otherwise the
    mirror contains a folder `registry.terraform.io`.

    Raises:
        CommandError: there is no such folder.

    """
    if Path(os.environ.get("TF_CLI_CONFIG_FILE", "~/.terraformrc")).expanduser().exists():
        return None
    with contextlib.suppress(OSError), socket.create_connection(("registry.terraform.io", 443), 3):
        return None
    depth = ["-maxdepth", "5", "-type", "d", "-name", "registry.terraform.io", "-print", "-quit"]
    search = ["find", "/opt", "/usr", "/var", str(Path.home()), *depth]
    found = complete(*search).stdout.strip()
    if not found:
        raise CommandError(
            "registry.terraform.io does not answer, and this machine has no mirror of it. Create"
            " one with `terraform providers mirror`."
        )
    return Path(found).parent


@functools.cache
def cli_configuration() -> dict[str, str]:
    """Return the environment with which Terraform finds the AWS provider, for `mirror`."""
    folder = mirror()
    if folder is None:
        return {}
    directory = Path(tempfile.mkdtemp(prefix="zama-terraform-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = directory / "terraform.rc"
    path.write_text(
        f"provider_installation {{ filesystem_mirror {{ path = {json.dumps(str(folder))} }} }}\n"
    )
    return {"TF_CLI_CONFIG_FILE": str(path)}
