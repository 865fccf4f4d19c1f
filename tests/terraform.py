"""Terraform on the repository's folders."""

import contextlib
import functools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from zama_ops.errors import CommandError
from zama_ops.paths import BOOTSTRAP, TERRAFORM
from zama_ops.terraform import Terraform, cli_configuration, mirror

FOLDERS = {"service": TERRAFORM, "bootstrap": BOOTSTRAP}


@functools.cache
def is_there() -> bool:
    """Return whether this machine has Terraform and the AWS provider."""
    try:
        return bool(shutil.which("terraform")) and cli_configuration() is not None
    except CommandError:
        return False


def skip_hash_checks(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let only `init -lockfile=readonly` compare the provider with the lock file.

    Every other command would read its 700 MB as well, or download it. The first call fills
    `folder`: with the provider, a configuration that uses it, and a program that tells every other
    `init` that the provider runs already.
    """
    configuration, program = folder / "terraform.rc", folder / "terraform"
    if not program.exists():
        done = terraform(TERRAFORM, folder, "init", "-backend=false", "-lockfile=readonly")
        assert done.returncode == 0, done.stderr
        provider = binary(folder)
        source = "/".join(provider.parts[-6:-3])
        override, path = (json.dumps(str(one)) for one in (provider.parent, folder / "providers"))
        configuration.write_text(
            f"provider_installation {{\n  dev_overrides {{ {json.dumps(source)} = {override} }}\n"
            f"  filesystem_mirror {{ path = {path} }}\n}}\n"
        )
        nowhere = {"Network": "unix", "String": str(folder / "nowhere")}
        running = {source: {"Protocol": "grpc", "ProtocolVersion": 5, "Addr": nowhere}}
        program.write_text(
            '#!/bin/sh\ncase " $* " in\n*" -lockfile=readonly "*) ;;\n'
            f"*\" init \"*) export TF_REATTACH_PROVIDERS='{json.dumps(running)}' ;;\n"
            f'esac\nexec "{shutil.which("terraform")}" "$@"\n'
        )
        program.chmod(0o755)
    patch.setenv("TF_CLI_CONFIG_FILE", str(configuration))
    patch.setenv("PATH", str(folder), prepend=os.pathsep)
    # Now the user has configured Terraform.
    mirror.cache_clear()
    cli_configuration.cache_clear()


def binary(data: Path) -> Path:
    """Return the provider that `init` put into a data directory."""
    (found,) = data.glob("providers/*/*/*/*/*/terraform-provider-*")
    return found


def terraform(
    folder: Path, data: Path, verb: str, *words: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run Terraform in a folder without writing to it: its data goes to `data`."""
    return Terraform(folder, {"TF_DATA_DIR": str(data), **environ}).complete(verb, *words)


@contextlib.contextmanager
def running_provider(data: Path) -> Iterator[dict[str, str]]:
    """Run the provider that `init` put into `data`; yield the environment to use it.

    Otherwise Terraform starts it four times for each run of a test. It can have only one
    configuration, so this is for `validate` and for tests with a mock provider.
    """
    with subprocess.Popen(
        [binary(data), "-debug"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        try:
            settings = (line.strip().partition("=") for line in process.stdout)
            address = next(text for name, _, text in settings if name == "TF_REATTACH_PROVIDERS")
            yield {"TF_REATTACH_PROVIDERS": address.strip("'")}
        finally:
            process.terminate()
