"""`zama aws-local`: the whole deployment on an emulated AWS."""

import contextlib
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Final

import typer

from zama_ops.console import errors_told, notes, say, say_json, step
from zama_ops.container_images import build_images
from zama_ops.delivery.release import DEPLOYED, Record, Release, now, save
from zama_ops.emulated_account import EXAMPLE_TAG, EmulatedAccount, temporary_account
from zama_ops.errors import CommandError
from zama_ops.git import commit
from zama_ops.options import AsJson
from zama_ops.paths import ROOT, TERRAFORM
from zama_ops.programs import require, run
from zama_ops.resource_graph import by_file, draw, resources
from zama_ops.terraform import Profile

PLANS: Final[dict[Profile, Path]] = {
    "minimal": ROOT / "plan.txt",
    "production": ROOT / "docs" / "plan-production.txt",
}
# GitHub limits a comment to 65,536 characters, and there are two plans.
_MOST_CHARACTERS: Final = 30_000
GRAPH: Final = ROOT / "terraform-graph.png"
GRAPH_SOURCE: Final = ROOT / "docs" / "terraform-graph.dot"

_ACCOUNT: Final = EmulatedAccount(ROOT / ".aws-local")

app: Final = typer.Typer(
    help="Deploy to an AWS on this machine, without an account. Needs Docker and terraform.",
    no_args_is_help=True,
)


@app.command()
def up(
    *,
    profile: Annotated[Profile, typer.Option(help="In terraform/profiles.")] = "minimal",
    as_json: AsJson = False,
) -> None:
    """Build the images, start the emulator, apply bootstrap and the service, and show its URL.

    Run it again to roll out changes. The emulator keeps everything in memory until
    `zama aws-local down` stops it.
    """
    with errors_told():
        require("terraform", "docker")
        if not _ACCOUNT.runs():
            with step("Starting the emulator"):
                _ACCOUNT.start()
        # Terraform mostly waits, so build the images at the same time.
        with (
            step("Building the images, applying terraform/bootstrap"),
            ThreadPoolExecutor() as pool,
        ):
            built = pool.submit(build_images)
            _ACCOUNT.bootstrap()
            built.result()
        with step(f"Applying terraform with the {profile} profile"):
            began, tag = now(), _ACCOUNT.push()
            _ACCOUNT.apply(profile, image_tag=tag)
        outputs = _ACCOUNT.outputs()
        with step("Waiting until the tasks are healthy"):
            _ACCOUNT.wait_until_served(outputs["url"])
        # For `zama rollback`.
        arn = outputs["task_definition_arn"]
        record = Record(
            Release(commit(), tag, None, profile), "", "", began, 0, now(), DEPLOYED, [], arn
        )
        save(_ACCOUNT.client("s3"), _ACCOUNT.state_bucket(), record)
    if as_json:
        say_json(outputs)
        return
    notes.print(
        f"\nThe service is ready at {outputs['url']} (`make aws-local-down` stops it). Try:\n\n"
        f"  {_ACCOUNT.curl(outputs['url'])}\n\n"
        "To point aws, terraform, boto3 and zama at this AWS, run:\n\n"
        '  eval "$(.venv/bin/zama aws-local env)"\n'
    )


@app.command()
def down() -> None:
    """Stop the emulator and everything that runs in it."""
    with errors_told(), step("Stopping the emulator"):
        _ACCOUNT.stop()


@app.command()
def env() -> None:
    """Print the settings that point aws, terraform, boto3 and zama at the emulator, for `eval`.

    They include CONNECT_TO, because only AWS's DNS can resolve the load balancer's name.
    """
    settings = _ACCOUNT.environ()
    if _ACCOUNT.runs():
        with contextlib.suppress(CommandError, KeyError):  # nothing is deployed
            settings["CONNECT_TO"] = _ACCOUNT.address(_ACCOUNT.outputs()["url"])
    for name, value in settings.items():
        say(f"export {name}={value}")


@app.command()
def plan() -> None:
    """Write plan.txt, docs/plan-production.txt and terraform-graph.png.

    The plans are for an emulated account that holds only terraform/bootstrap.
    """
    with errors_told():
        require("terraform", "dot")
        with temporary_account() as account:
            with step("Applying terraform/bootstrap"):
                account.bootstrap()
            for profile, path in PLANS.items():
                with step(f"Planning the {profile} profile: {path.relative_to(ROOT)}"):
                    path.write_text(account.plan(profile, image_tag=EXAMPLE_TAG))
            with step(f"Drawing {GRAPH.relative_to(ROOT)}"):
                GRAPH_SOURCE.write_text(
                    by_file(account.graph(), resources(TERRAFORM), PLANS["minimal"].read_text())
                )
                draw(GRAPH_SOURCE, GRAPH)


@app.command()
def compare(
    base: Annotated[str, typer.Argument(help="A commit, for example origin/main.")],
) -> None:
    """Compare the plans that `plan` wrote with a commit's plans.

    Writes build/plan/comment.md, for a pull request, and copies of the plans.
    """
    with errors_told():
        folder = ROOT / "build" / "plan"
        folder.mkdir(parents=True, exist_ok=True)
        parts = []
        for profile, path in PLANS.items():
            shutil.copy(path, folder / f"{profile}.txt")
            (summary,) = re.findall(r"^Plan: .*$", path.read_text(), re.MULTILINE)
            parts.append(f"**{profile}**, for an empty account: {summary[6:]}\n")
            changed = run("git", "diff", "--unified=2", base, "--", str(path.relative_to(ROOT)))
            parts.append(_details(changed) if changed else "The plan has not changed.\n")
        (folder / "comment.md").write_text("\n".join(["### What Terraform would do\n", *parts]))


def _details(changed: str) -> str:
    shown = changed[:_MOST_CHARACTERS]
    more = "\n(truncated; the artifact `plan` has the rest)" if shown != changed else ""
    return (
        "<details><summary>Changes to the plan</summary>\n\n"
        f"````diff\n{shown}{more}\n````\n\n</details>\n"
    )
