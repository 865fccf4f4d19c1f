"""`zama deploy`: save a plan, apply exactly that plan, check the service; roll back a failure."""

import hashlib
import json
import os
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Final

import typer

from zama_ops.console import TICK, errors_told, notes, say, step
from zama_ops.container_images import IMAGES, image_digests, keep, repositories
from zama_ops.contract_checks import READY, caller, faults_of, perform
from zama_ops.delivery import plans
from zama_ops.delivery.release import (
    DEPLOYED,
    FAILED,
    INTERRUPTED,
    SHIFTED_BACK,
    UNCHANGED,
    Record,
    Release,
    last_deployed,
    last_record,
    now,
    release_lock,
    terraform,
    variables,
    write,
)
from zama_ops.ecs_service import EcsService, ShiftedBackError, shift
from zama_ops.errors import CommandError
from zama_ops.git import checkout, commit, image_tag
from zama_ops.http_client import HttpClient, NoAnswerError
from zama_ops.options import Bucket, ConnectTo
from zama_ops.paths import BUILD, ROOT
from zama_ops.programs import run
from zama_ops.terraform import Profile, Terraform

PLAN: Final = BUILD / "plan"
"""The plan's files: tfplan, release.json."""

_SAVED: Final = PLAN / "tfplan"
# GitHub accepts 1 MiB for the summary of a step.
_SUMMARY_BYTES: Final = 900_000
_ISSUER: Final = "https://token.actions.githubusercontent.com"
_READY_SECONDS: Final = 120

app: Final = typer.Typer(
    help="Deploy to AWS: plan, apply that plan, check, and record it or roll back.",
    no_args_is_help=True,
)


@app.command()
def plan(
    bucket: Bucket,
    *,
    digests: Annotated[
        str,
        typer.Option(envvar="IMAGE_DIGESTS", help='For example {"api":"sha256:…","nginx":"…"}.'),
    ] = "",
    profile: Annotated[Profile, typer.Option(envvar="PROFILE")] = "minimal",
) -> None:
    """Plan this commit's deployment in build/plan; in a workflow, also save it in the state bucket.

    The plan is made from the state: refreshing it would read the keys, which the workflow's role
    must not. `zama drift find` compares the state with AWS.
    """
    with errors_told():
        revision = commit()
        images = image_digests(digests) if digests else None
        release = Release(revision, image_tag(revision), images, profile)
        shutil.rmtree(PLAN, ignore_errors=True)
        PLAN.mkdir(parents=True)
        service = terraform(ROOT, bucket)
        with variables(release) as words:
            service.run("plan", "-refresh=false", f"-out={_SAVED}", *words)
        release = replace(release, plan=_checksum())
        (PLAN / "release.json").write_text(json.dumps(asdict(release), indent=2) + "\n")
        plans.save(bucket, revision, PLAN)
    notes.print(f"The plan is in {PLAN.relative_to(ROOT)}. Apply it with `zama deploy apply`.")


def _checksum() -> str:
    return hashlib.sha256(_SAVED.read_bytes()).hexdigest()


@app.command()
def fetch(
    bucket: Bucket,
    *,
    name: Annotated[
        str, typer.Option("--plan", envvar="PLAN", help="The plan that `show` named.")
    ] = "",
) -> None:
    """Download the plan that ci.yml on main saved for this commit; needs `gh` without `--plan`.

    It is the plan of the newest attempt that made one.
    """
    with errors_told():
        revision = commit()
        shutil.rmtree(PLAN, ignore_errors=True)
        PLAN.mkdir(parents=True)
        plans.fetch(bucket, name or plans.newest(bucket, revision, _passed(revision)), PLAN)


def _passed(revision: str) -> int:
    """Return the id of the commit's run of ci.yml on main, which must have passed."""
    of_this_commit = ["--workflow=ci.yml", "--branch=main", "--event=push"]
    of_this_commit += [f"--commit={revision}", "--status=success"]
    runs = json.loads(run("gh", "run", "list", *of_this_commit, "--json=databaseId"))
    if not runs:
        raise CommandError(
            f"ci.yml has not passed on main for {revision}. Wait for the run, or fix it."
        )
    # gh lists the newest first.
    return int(runs[0]["databaseId"])


@app.command()
def show(
    bucket: Bucket,
    *,
    whole: Annotated[
        bool, typer.Option(envvar="WHOLE_PLAN", help="Write every attribute, not only addresses.")
    ] = False,
) -> None:
    """Write the plan in build/plan to the summary of the workflow's step, for its approver.

    A public repository's summaries are public, so write only the addresses of changed resources
    there.
    """
    with errors_told():
        release = _read_release()
        text = terraform(ROOT, bucket).ask("show", "-no-color", str(_SAVED))
        if not whole:
            text = "".join(f"{line}\n" for line in text.splitlines() if _summarizes(line))
        if len(data := text.encode()) > _SUMMARY_BYTES:
            rest = "\n... Run `zama deploy show --whole` to see the rest."
            text = data[:_SUMMARY_BYTES].decode(errors="ignore") + rest
        summary = f"## Plan for {release.tag}\n\n```\n{text}\n```\n"
        _append("GITHUB_STEP_SUMMARY", summary)
        _append("GITHUB_OUTPUT", f"checksum={release.plan}\n")
        _append("GITHUB_OUTPUT", f"name={plans.name_of(PLAN)}\n")
    say(summary)


def _summarizes(line: str) -> bool:
    return line.startswith(("  # ", "Plan: ", "No changes."))


def _append(variable: str, text: str) -> None:
    """Append to the file that one of GitHub's variables names, if it is set."""
    if path := os.environ.get(variable):
        with Path(path).open("a") as file:
            file.write(text)


@app.command()
def verify(
    *,
    repository: Annotated[
        str, typer.Option(envvar="GITHUB_REPOSITORY", help="OWNER/NAME of the workflows.")
    ],
) -> None:
    """Verify that ci.yml on main signed the plan's images, and their SBOMs and provenance.

    The SLSA provenance must name the checked-out commit, and provenance.yml must have signed it.
    Needs `cosign` and `gh`.
    """
    workflows = f"{repository}/.github/workflows"
    by = [
        f"--certificate-identity=https://github.com/{workflows}/ci.yml@refs/heads/main",
        f"--certificate-oidc-issuer={_ISSUER}",
    ]
    with errors_told():
        release = _read_release()
        if release.digests is None or set(release.digests) != set(IMAGES):
            raise CommandError("The plan does not name the digests of both images.")
        from_here = ["--repo", repository, "--signer-workflow", f"{workflows}/provenance.yml"]
        from_here += ["--source-ref", "refs/heads/main", "--source-digest", release.commit]
        for name, url in repositories().items():
            image = f"{url}@{release.digests[name]}"
            with step(f"Verifying {image}"):
                run("cosign", "verify", *by, image)
                run("cosign", "verify-attestation", "--type", "cyclonedx", *by, image)
                origin = ["gh", "attestation", "verify", f"oci://{image}", "--bundle-from-oci"]
                run(*origin, *from_here)


@app.command()
def apply(
    bucket: Bucket,
    *,
    connect_to: ConnectTo = None,
    checksum: Annotated[
        str, typer.Option(envvar="PLAN_CHECKSUM", help="The approved plan's SHA-256.")
    ] = "",
) -> None:
    """Apply the plan in build/plan, and check the service from outside with the key in API_KEY.

    The record in build/deployment.json and in the state bucket exists from the start, so that an
    interrupted deploy leaves one. A plan that is out of date, or a state that another run has
    locked for more than LOCK_TIMEOUT (10m), changes nothing. After any other failure, run
    `zama deploy roll-back`.
    """
    with errors_told():
        _require_key()
        release = _read_release()
        if checksum and checksum != release.plan:
            raise CommandError(
                f"The plan's checksum is {release.plan}, but {checksum} was approved."
            )
        if release.digests:
            # Before the images run, so that none runs that may expire.
            keep(release.digests, release.tag)
        service = terraform(ROOT, bucket)
        record = Record(
            release, os.environ.get("GITHUB_ACTOR", ""), _run_url(), now(), service.serial()
        )
        write(bucket, record)
        applied = shifted_back = False
        try:
            service.run("apply", str(_SAVED))
            applied = True
            faults = _shift_and_check(service, release.tag, connect_to)
        except CommandError as error:
            faults = [str(error)]
            shifted_back = isinstance(error, ShiftedBackError)
        for line in faults:
            notes.print(f"✗ {line}", style="red")
        if not faults:
            outcome = DEPLOYED
            record = replace(record, task_definition=service.outputs()["task_definition_arn"])
        elif shifted_back:
            outcome = SHIFTED_BACK
        else:
            outcome = FAILED if applied or _moved(service, record.serial) else UNCHANGED
        write(bucket, replace(record, ended=now(), outcome=outcome, faults=faults))
        if faults:
            raise CommandError(f"{release.tag} is not deployed: {outcome}.")
    notes.print(TICK, f"{release.tag} is deployed.")


@app.command("roll-back")
def roll_back(bucket: Bucket, *, connect_to: ConnectTo = None) -> None:
    """Deploy the previous release again if the last deploy failed or was interrupted.

    It first releases the lock that an interrupted Terraform of this machine has left. If the last
    deploy succeeded, changed nothing or was another run's, there is nothing to do.
    """
    with errors_told():
        record = last_record(bucket)
        if (
            record is None
            or record.run != _run_url()
            or record.outcome not in {INTERRUPTED, FAILED, SHIFTED_BACK}
        ):
            notes.print("There is nothing to roll back.")
            return
        service = terraform(ROOT, bucket)
        # Terraform that held the lock was changing something, even if it did not save that.
        changed = release_lock(service, bucket) or _moved(service, record.serial)
        if record.outcome == INTERRUPTED and not changed:
            outcome = UNCHANGED
        else:
            _require_key()
            shifts = record.outcome != SHIFTED_BACK
            outcome = _roll_back(last_deployed(bucket), bucket, connect_to, shifts=shifts)
        write(bucket, replace(record, ended=now(), outcome=outcome))
        notes.print(f"{record.release.tag} is not deployed: {outcome}.")
        if not outcome.startswith(("rolled back", UNCHANGED)):
            raise typer.Exit(1)


def _require_key() -> None:
    if not os.environ.get("API_KEY"):
        raise CommandError("Set API_KEY to a valid key: the checks need it.")


def _read_release() -> Release:
    try:
        release = Release(**json.loads((PLAN / "release.json").read_text()))
    except FileNotFoundError:
        raise CommandError(
            "There is no plan. Run `zama deploy plan` or `zama deploy fetch` first."
        ) from None
    if release.commit != commit():
        raise CommandError(f"The plan is for {release.commit}, but {commit()} is checked out.")
    if release.plan != _checksum():
        raise CommandError(
            "build/plan/tfplan does not match the checksum in release.json. Plan again."
        )
    return release


def _moved(service: Terraform, serial: int) -> bool:
    """Say whether the state has changed, or may have because it cannot be read."""
    try:
        return service.serial() != serial
    except CommandError:
        return True


def _shift_and_check(
    deployed: Terraform, tag: str, connect_to: str | None, *, shifts: bool = True
) -> list[str]:
    """Wait for the rollout, or shift the traffic; return the faults that checks found."""
    outputs = deployed.outputs()
    if outputs.get("codedeploy_deployment"):
        if shifts:
            shift(json.loads(outputs["codedeploy_deployment"]), connect_to)
    else:
        EcsService(outputs["service_name"]).wait_for(outputs["task_definition_arn"])
    url = str(outputs["url"])
    service = caller(url, os.environ.get("API_KEY", ""), connect_to)
    with step(f"Waiting for {url}"):
        deadline = time.monotonic() + _READY_SECONDS
        while not perform(READY, service).passed and time.monotonic() < deadline:
            time.sleep(1)
    with step(f"Checking {url} against the contract"):
        faults = faults_of(service)
    if (version := _version(service)) != tag:
        faults.append(f"/healthz reports version {version!r}, not {tag!r}")
    return faults


def _version(service: HttpClient) -> str:
    """Return the version that /healthz reports, or "" if it reports none."""
    try:
        return str(service.send("GET", "/healthz").json()["version"])
    except (NoAnswerError, ValueError, KeyError, TypeError):
        return ""


def _roll_back(
    previous: Release | None, bucket: str, connect_to: str | None, *, shifts: bool
) -> str:
    """Apply the previous release; without `shifts`, CodeDeploy has its tasks serving again."""
    if previous is None:
        return "there is no previous release to roll back to"
    notes.print(f"Rolling back to {previous.tag} ...")
    try:
        with checkout(previous.commit) as folder, variables(previous) as words:
            service = terraform(folder, bucket)
            # In two steps, because `apply` alone would also show the plan.
            saved = folder / "rollback.tfplan"
            service.run("plan", f"-out={saved}", *words)
            service.run("apply", str(saved))
            faults = _shift_and_check(service, previous.tag, connect_to, shifts=shifts)
    except CommandError as error:
        faults = [str(error)]
    if faults:
        return f"the rollback to {previous.tag} failed as well: {'; '.join(faults)}"
    return f"rolled back to {previous.tag}"


def _run_url() -> str:
    parts = [
        os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")
    ]
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else ""
