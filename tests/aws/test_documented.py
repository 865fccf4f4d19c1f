"""The documented commands for AWS run unchanged against the emulated AWS."""

import os
import re
import shutil
import subprocess
from concurrent.futures import Future
from pathlib import Path

from engine import Images
from readme import block, run_commands_for_aws
from zama_ops.emulated_account import temporary_account
from zama_ops.paths import ROOT
from zama_ops.terraform import cli_configuration

PLAN_COMMANDS = block("cp terraform.tfvars.example")


def test_the_commands_for_aws_work_in_order(images: Images, tmp_path: Path) -> None:
    """Pasted unchanged, they lead from bootstrap to the first response."""
    done = run_commands_for_aws(images, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.endswith('{"status":"ready"}')


def test_a_plan_needs_no_backend(bootstrapped: Future[Path], tmp_path: Path) -> None:
    """Pasted unchanged in terraform/, the commands save a plan."""
    for name in ("terraform", "observability"):
        # A clone has no local settings.
        local = shutil.ignore_patterns(".terraform", "*.tfvars", "backend.*")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=local)
    folder = tmp_path / "terraform"
    with temporary_account(bootstrapped.result()) as account:
        done = subprocess.run(
            ["sh", "-e", "-c", PLAN_COMMANDS],
            cwd=folder,
            env={**os.environ, **account.environ(), **cli_configuration()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " to add, 0 to change, 0 to destroy." in done.stdout
    assert (folder / "plan.bin").exists()


def test_make_plans_with_the_same_commands() -> None:
    """`make tf-plan` runs the commands of docs/deploy.md."""
    make = ["make", "--dry-run", "--assume-old=terraform/terraform.tfvars", "tf-plan"]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True)
    run = re.findall(r"^terraform .*", done.stdout, re.MULTILINE)
    documented = PLAN_COMMANDS.splitlines()[-1].split(" && ")
    assert run == [
        command.replace("terraform", "terraform -chdir=terraform", 1) for command in documented
    ]
