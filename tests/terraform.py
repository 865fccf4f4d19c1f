"""Terraform on the repository's folders."""

import contextlib
import functools
import json
import os
import re
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

    Every other command would read its 700 MB as well. This needs an unpacked mirror on this
    machine; otherwise all commands check. `folder` gets the configuration, and a program that
    tells other `init`s that the provider runs already, so they do not install it.
    """
    packages, binary = mirror(), shutil.which("terraform")
    lock = (TERRAFORM / ".terraform.lock.hcl").read_text()
    (source,) = re.findall(r'^provider "(\S+)"', lock, re.MULTILINE)
    (version,) = re.findall(r'^ +version += "(\S+)"', lock, re.MULTILINE)
    found = [*packages.glob(f"{source}/{version}/*/terraform-provider-*")] if packages else []
    if found:
        override, path = (json.dumps(str(one)) for one in (found[0].parent, packages))
        configuration = folder / "terraform.rc"
        configuration.write_text(
            f"provider_installation {{\n  dev_overrides {{ {json.dumps(source)} = {override} }}\n"
            f"  filesystem_mirror {{ path = {path} }}\n}}\n"
        )
        patch.setenv("TF_CLI_CONFIG_FILE", str(configuration))
        nowhere = {"Network": "unix", "String": str(folder / "nowhere")}
        running = {"Protocol": "grpc", "ProtocolVersion": 5, "Addr": nowhere}
        program = folder / "terraform"
        program.write_text(
            '#!/bin/sh\ncase " $* " in\n*" -lockfile=readonly "*) ;;\n'
            f"*\" init \"*) export TF_REATTACH_PROVIDERS='{json.dumps({source: running})}' ;;\n"
            f'esac\nexec "{binary}" "$@"\n'
        )
        program.chmod(0o755)
        patch.setenv("PATH", str(folder), prepend=os.pathsep)
        # Now the user has configured Terraform.
        mirror.cache_clear()
        cli_configuration.cache_clear()


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
    (binary,) = data.glob("providers/*/*/*/*/*/terraform-provider-*")
    with subprocess.Popen(
        [binary, "-debug"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        try:
            settings = (line.strip().partition("=") for line in process.stdout)
            address = next(text for name, _, text in settings if name == "TF_REATTACH_PROVIDERS")
            yield {"TF_REATTACH_PROVIDERS": address.strip("'")}
        finally:
            process.terminate()
