"""The commands of the README and its pages; those for AWS run against an emulated one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from engine import Images
from zama_ops.emulated_account import temporary_account
from zama_ops.paths import ROOT
from zama_ops.programs import complete
from zama_ops.terraform import cli_configuration

# Differences for a shell on this machine: it builds on local base images, pushes nowhere, finds the
# load balancer without DNS, and approves each apply.
HELPERS: Final = """
set -eu
docker() {{
    case $1 in
    build) shift; command docker build {bases} "$@" ;;
    login | push) cat </dev/null ;;
    esac
}}
curl() {{ command curl --connect-to ::127.0.0.1:{port} "$@"; }}
export TF_CLI_ARGS_apply=-auto-approve
"""


PAGES: Final = (
    *("README.md", "docs/calling.md", "docs/deploy.md", "docs/github.md", "docs/operating.md"),
)
BLOCKS: Final[list[str]] = [
    block
    for page in PAGES
    for block in re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
    )
]


def block(beginning: str) -> str:
    return next(block for block in BLOCKS if block.startswith(beginning))


def commands_for_aws() -> str:
    """Return the lines of the blocks from bootstrap to the first request."""
    first = BLOCKS.index(block("export AWS_REGION"))
    return "".join(BLOCKS[first : first + 3])


def run_commands_for_aws(images: Images, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run them in a shell in a copy of the repository, with a separate account."""
    for part in ("terraform", "observability", "services"):
        shutil.copytree(ROOT / part, folder / part)
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "-m", "first"]):
        git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com", *command]
        assert complete(*git, cwd=folder).returncode == 0
    with temporary_account() as account:
        helpers = HELPERS.format(bases=" ".join(images.arguments()), port=account.port)
        environ = {**account.environ(), **cli_configuration()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return complete("sh", "-c", helpers + commands_for_aws(), cwd=folder, **environ, PATH=path)
