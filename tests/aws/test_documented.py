"""The README's commands for AWS, as they stand there, against the emulated one."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Images
from stack import ROOT
from zama_ops.account import Account, cli_configuration, temporary_account

# What a shell on this machine must do otherwise: build on base images that it has, push nowhere,
# find the load balancer without DNS, and say yes.
HELPERS = """
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


@pytest.fixture
def account() -> Iterator[Account]:
    """Start an account that ends with the test."""
    with temporary_account() as account:
        yield account


def commands() -> str:
    """Return the lines of the blocks from `### To AWS` to the first request."""
    section = (ROOT / "README.md").read_text().partition("### To AWS\n")[2]
    blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return "".join(blocks[:3])


def test_the_commands_for_aws_in_order(account: Account, images: Images, tmp_path: Path) -> None:
    """From bootstrap to the first answer, pasted as they are."""
    for folder in ("terraform", "observability", "services"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "-m", "first"]):
        git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com", *command]
        subprocess.run(git, cwd=tmp_path, check=True)
    helpers = HELPERS.format(bases=" ".join(images.arguments()), port=account.port)
    environ = {**os.environ, **account.environ(), **cli_configuration()}
    done = subprocess.run(
        ["sh", "-c", helpers + commands()],
        cwd=tmp_path,
        env={**environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.endswith('{"status":"ready"}')
