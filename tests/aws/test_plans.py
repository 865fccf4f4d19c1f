"""Plans for an empty account: the committed plans, and the plan of the documented commands."""

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Final

import pytest

from readme import block
from zama_ops.emulated_account import EXAMPLE_TAG, EmulatedAccount, temporary_account
from zama_ops.local.aws_local import PLANS
from zama_ops.paths import ROOT
from zama_ops.programs import complete, run
from zama_ops.terraform import Profile, cli_configuration

PLAN_COMMANDS: Final = block("cp terraform.tfvars.example")


@pytest.fixture(scope="module")
def account(bootstrapped: Future[Path]) -> Iterator[EmulatedAccount]:
    with temporary_account(bootstrapped.result()) as account:
        yield account


@pytest.mark.parametrize("profile", PLANS)
def test_the_committed_plan_is_current(account: EmulatedAccount, profile: Profile) -> None:
    """`make plan` would write the same plan, except for the ids of the default VPC."""
    planned = account.plan(profile, image_tag=EXAMPLE_TAG)
    assert _without_ids(PLANS[profile].read_text()) == _without_ids(planned), "run `make plan`"


def _without_ids(plan: str) -> list[str]:
    # Terraform may first warn that it does not check the provider's hash.
    _, begin, rest = plan.partition("Terraform used the selected providers")
    # Sorted, because Terraform orders by id.
    return sorted(re.sub(r"(vpc|subnet|Z)-?[0-9A-Za-z]{8,}", r"\1-ID", begin + rest).splitlines())


def test_a_plan_needs_no_backend(account: EmulatedAccount, tmp_path: Path) -> None:
    """Pasted unchanged in terraform/, the commands save a plan."""
    for name in ("terraform", "observability"):
        # A clone has no local settings.
        local = shutil.ignore_patterns(".terraform", "*.tfvars", "backend.*")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=local)
    folder = tmp_path / "terraform"
    environ = {**account.environ(), **cli_configuration()}
    done = complete("sh", "-e", "-c", PLAN_COMMANDS, cwd=folder, **environ)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " to add, 0 to change, 0 to destroy." in done.stdout
    assert (folder / "plan.bin").exists()


def test_make_plans_with_the_same_commands() -> None:
    """`make tf-plan` runs the commands of docs/deploy.md."""
    make = ["make", "--dry-run", "--assume-old=terraform/terraform.tfvars", "tf-plan"]
    planned = re.findall(r"^terraform .*", run(*make), re.MULTILINE)
    documented = PLAN_COMMANDS.splitlines()[-1].split(" && ")
    assert planned == [
        command.replace("terraform", "terraform -chdir=terraform", 1) for command in documented
    ]
