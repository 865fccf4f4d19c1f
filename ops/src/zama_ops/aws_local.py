"""`zama aws-local`: the whole deployment on an AWS that runs on this machine."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Final

import typer

from zama_ops.account import (
    EXAMPLE_TAG,
    ROOT,
    Account,
    AccountError,
    Profile,
    build_images,
    require,
    temporary_account,
)
from zama_ops.console import notes, step

PLANS: Final[dict[Profile, Path]] = {
    "minimal": ROOT / "plan.txt",
    "production": ROOT / "docs" / "plan-production.txt",
}
GRAPH: Final = ROOT / "terraform-graph.png"

_ACCOUNT: Final = Account(ROOT / ".aws-local")

app: Final = typer.Typer(
    help="Deploy to an AWS on this machine, without an account. Needs Docker and terraform.",
    no_args_is_help=True,
)


@app.command()
def up(
    *,
    profile: Annotated[Profile, typer.Option(help="Which of terraform/profiles to apply.")] = (
        "minimal"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the outputs as JSON.")] = False,
) -> None:
    """Build the images, start the emulator, apply bootstrap and service, say how to call it.

    Again, it rolls out what has changed since. The emulator keeps everything in memory, until
    `zama aws-local down` ends it.
    """
    with _errors_told():
        require("terraform", "docker")
        if not _ACCOUNT.runs():
            with step("Starting the emulator"):
                _ACCOUNT.start()
        # Terraform mostly waits, so the images can be built meanwhile.
        with (
            step("Building the images, applying terraform/bootstrap"),
            ThreadPoolExecutor() as pool,
        ):
            built = pool.submit(build_images)
            _ACCOUNT.bootstrap()
            built.result()
        with step(f"Applying terraform with the {profile} profile"):
            _ACCOUNT.apply(profile, image_tag=_ACCOUNT.push())
        outputs = _ACCOUNT.outputs()
        with step("Waiting until the load balancer finds the tasks healthy"):
            _ACCOUNT.wait_until_served(outputs["url"])
    if as_json:
        typer.echo(json.dumps(outputs, indent=2))
        return
    notes.print(
        f"\nThe service answers as {outputs['url']} (`make aws-local-down` ends it). Try:\n\n"
        f"  {_ACCOUNT.curl(outputs['url'])}\n\n"
        "aws, terraform and boto3 find this AWS after:\n\n"
        '  eval "$(.venv/bin/zama aws-local env)"\n'
    )


@app.command()
def down() -> None:
    """End the emulator and all that runs in it."""
    with _errors_told(), step("Ending the emulator"):
        _ACCOUNT.stop()


@app.command()
def env() -> None:
    """Print the settings by which aws, terraform and boto3 find the emulator, for `eval`."""
    for name, value in _ACCOUNT.environ().items():
        typer.echo(f"export {name}={value}")


@app.command()
def plan() -> None:
    """Write plan.txt, docs/plan-production.txt and terraform-graph.png.

    They are real plans, for an account that has nothing yet but terraform/bootstrap.
    """
    with _errors_told():
        require("terraform", "dot")
        with temporary_account() as account:
            with step("Applying terraform/bootstrap"):
                account.bootstrap()
            for profile, path in PLANS.items():
                with step(f"Planning the {profile} profile: {path.relative_to(ROOT)}"):
                    path.write_text(account.plan(profile, image_tag=EXAMPLE_TAG))
            with step(f"Drawing {GRAPH.relative_to(ROOT)}"):
                draw = ["dot", "-Tpng", "-Grankdir=LR", f"-o{GRAPH}"]
                subprocess.run(draw, input=account.graph(), text=True, check=True)


@contextlib.contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except AccountError as error:
        # Terraform tells much before it tells what went wrong.
        before, mark, after = str(error).partition("\nError:")
        notes.print(
            f"zama: {mark.strip()}{after}" if mark else f"zama: {before}", style="red", markup=False
        )
        raise typer.Exit(1) from None
