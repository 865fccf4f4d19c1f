"""The documented commands for AWS run unchanged against the emulated AWS."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from engine import Images
from readme import commands_for_aws
from zama_ops.container_images import IMAGES, build_options
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


def test_the_commands_for_aws_work_in_order(images: Images, tmp_path: Path) -> None:
    """In a copy of the repository, they lead from bootstrap to the first response."""
    for part in ("terraform", "observability", "services"):
        shutil.copytree(ROOT / part, tmp_path / part)
    for name in IMAGES:
        (_, file, *_) = build_options(name)
        shutil.copy(ROOT / file, tmp_path / "services" / name / "Dockerfile")
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "-m", "first"]):
        git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com", *command]
        assert complete(*git, cwd=tmp_path).returncode == 0
    with temporary_account() as account:
        helpers = HELPERS.format(
            bases=" ".join(f"--build-arg {name}={base}" for name, base in images.bases.items()),
            port=account.port,
        )
        environ = {**account.environ(), **cli_configuration()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = complete(
            "sh", "-c", helpers + commands_for_aws(), cwd=tmp_path, **environ, PATH=path
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        listed = account.client("s3").list_objects_v2(
            Bucket="zama-challenge-state-000000000000-eu-west-1"
        )
    assert done.stdout.endswith('{"status":"ready"}')
    # Bootstrap's own state has moved into the bucket that bootstrap creates.
    states = {one["Key"]: one["Size"] for one in listed["Contents"]}
    assert set(states) == {"bootstrap/terraform.tfstate", "service/terraform.tfstate"}
    assert min(states.values()) > 1000
    assert (tmp_path / "terraform" / "bootstrap" / "terraform.tfstate").read_text() == ""
