"""Terraform on the repository's folders."""

import functools
import shutil
import subprocess
from pathlib import Path

from zama_ops.errors import CommandError
from zama_ops.paths import BOOTSTRAP, TERRAFORM
from zama_ops.terraform import Terraform, cli_configuration

FOLDERS = {"service": TERRAFORM, "bootstrap": BOOTSTRAP}


@functools.cache
def is_there() -> bool:
    """Return whether this machine has Terraform and the AWS provider."""
    try:
        return bool(shutil.which("terraform")) and cli_configuration() is not None
    except CommandError:
        return False


def terraform(folder: Path, data: Path, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Terraform in a folder without writing to it: its data goes to `data`."""
    return Terraform(folder, {"TF_DATA_DIR": str(data)}).complete(verb, *words)
