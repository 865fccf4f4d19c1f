"""`zama rollback`: return to the previous deployment, without Terraform."""

import getpass
from dataclasses import replace
from typing import Annotated

import typer

from zama_ops.aws import client
from zama_ops.console import TICK, errors_told, notes, step
from zama_ops.delivery.release import ROLLBACK, Record, deployed, now, write
from zama_ops.ecs_service import EcsService
from zama_ops.errors import CommandError
from zama_ops.options import PREFIX, ConnectTo, Prefix


def rollback(
    *,
    prefix: Prefix = PREFIX,
    connect_to: ConnectTo = None,
    bucket: Annotated[
        str | None,
        typer.Option(
            "--state-bucket",
            envvar="STATE_BUCKET",
            help="Holds the records of deployments; default: PREFIX-state-ACCOUNT-REGION.",
        ),
    ] = None,
) -> None:
    """Return to the version that was deployed before, as `zama deploy` recorded it.

    Stops a deployment of CodeDeploy that is in progress, and follows a rollback that AWS started.
    Needs neither Terraform nor the repository's history. Exit code 1: nothing to return to,
    or the rollback failed.
    """
    with errors_told():
        service = EcsService(prefix)
        began, before = now(), service.images()
        with step("Looking for a deployment that is under way"):
            undone = service.undo()
        if undone:
            notes.print(f"It is rolled back; {_version(service.images())} serves.")
            return
        place = bucket or _state_bucket(prefix)
        target = _previous(service, place)
        with step(f"Returning from {_version(before)} to {target.release.tag}"):
            service.roll_out(target.task_definition, connect_to=connect_to)
        write(
            place,
            replace(
                target, by=getpass.getuser(), run="", began=began, ended=now(), outcome=ROLLBACK
            ),
        )
    notes.print(
        TICK,
        f"{target.release.tag} serves again. Terraform still describes {_version(before)}: revert"
        " its commit on main before the next deploy.",
    )


def _previous(service: EcsService, bucket: str) -> Record:
    """Return the newest recorded deployment whose images differ from the running ones."""
    running = service.images()
    for record in deployed(bucket):
        if record.task_definition and service.images(record.task_definition) != running:
            return record
    raise CommandError(
        f"{bucket} has no record of another deployment. Deploy the version you want: docs/deploy.md"
    )


def _state_bucket(prefix: str) -> str:
    """Return the name that terraform/bootstrap gives to the state bucket."""
    with client("sts") as sts:
        account, region = sts.get_caller_identity()["Account"], sts.meta.region_name
    return f"{prefix}-state-{account}-{region}"


def _version(images: dict[str, str]) -> str:
    """Return the tag or the digest of the API's image."""
    return images["api"].partition("@")[2] or images["api"].rpartition(":")[2]
