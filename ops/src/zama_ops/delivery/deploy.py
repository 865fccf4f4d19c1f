"""`zama deploy`: save a plan, apply exactly that plan, check the service, record or roll back."""

import hashlib
import json
import os
import shutil
import time
from dataclasses import asdict, replace
from typing import Annotated, Final

import typer

from zama_ops.console import errors_told, notes, step
from zama_ops.container_images import IMAGES, repositories
from zama_ops.contract_checks import CHECKS, READY, caller, perform
from zama_ops.delivery.release import (
    DEPLOYED,
    Record,
    Release,
    last_deployed,
    now,
    terraform,
    variables,
    write,
)
from zama_ops.ecs_service import ShiftedBackError, shift
from zama_ops.errors import CommandError
from zama_ops.git import checkout, commit, image_tag
from zama_ops.http_client import HttpClient, NoAnswerError
from zama_ops.options import Bucket, ConnectTo
from zama_ops.paths import BUILD, ROOT
from zama_ops.programs import run
from zama_ops.terraform import Profile, Terraform

PLAN: Final = BUILD / "plan"
"""The plan's files: tfplan, plan.txt, release.json."""

_SAVED: Final = PLAN / "tfplan"
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
    """Plan this commit's deployment and save the plan in build/plan, for `apply`."""
    with errors_told():
        revision = commit()
        release = Release(revision, image_tag(revision), _digests(digests), profile)
        shutil.rmtree(PLAN, ignore_errors=True)
        PLAN.mkdir(parents=True)
        service = terraform(ROOT, bucket)
        with variables(release) as words:
            service.run("plan", f"-out={_SAVED}", *words)
        (PLAN / "plan.txt").write_text(service.ask("show", "-no-color", str(_SAVED)))
        release = replace(release, plan=_checksum())
        (PLAN / "release.json").write_text(json.dumps(asdict(release), indent=2) + "\n")
    notes.print(f"The plan is in {PLAN.relative_to(ROOT)}. Apply it with `zama deploy apply`.")


def _digests(text: str) -> dict[str, str] | None:
    """Return the digests by image name; Terraform validates them."""
    if not text:
        return None
    try:
        return {name: str(json.loads(text)[name]) for name in IMAGES}
    except (ValueError, KeyError, TypeError):
        example = '{"api":"sha256:…","nginx":"sha256:…"}'
        raise CommandError(f"IMAGE_DIGESTS is {text!r}; expected {example}.") from None


def _checksum() -> str:
    return hashlib.sha256(_SAVED.read_bytes()).hexdigest()


@app.command()
def fetch() -> None:
    """Download the plan that ci.yml saved for this commit on main; needs `gh`.

    The plan comes from the commit's run, not by artifact name: any pull request can upload an
    artifact of any name.
    """
    with errors_told():
        revision = commit()
        of_this_commit = ["--workflow=ci.yml", "--branch=main", "--event=push"]
        of_this_commit += [f"--commit={revision}", "--status=success"]
        runs = json.loads(run("gh", "run", "list", *of_this_commit, "--json=databaseId"))
        if not runs:
            raise CommandError(
                f"ci.yml has not passed on main for {revision}. Wait for the run, or fix it."
            )
        shutil.rmtree(PLAN, ignore_errors=True)
        # gh lists the newest first.
        run("gh", "run", "download", str(runs[0]["databaseId"]), "--name=plan", f"--dir={PLAN}")


@app.command()
def verify(
    *,
    repository: Annotated[
        str, typer.Option(envvar="GITHUB_REPOSITORY", help="OWNER/NAME of the workflows.")
    ],
) -> None:
    """Verify that ci.yml on main signed the plan's images, their SBOMs and their provenance.

    The SLSA provenance must name the checked-out commit. Needs `cosign` and `gh`.
    """
    workflow = f"{repository}/.github/workflows/ci.yml"
    by = [
        f"--certificate-identity=https://github.com/{workflow}@refs/heads/main",
        f"--certificate-oidc-issuer={_ISSUER}",
    ]
    with errors_told():
        release = _read_release()
        if release.digests is None or set(release.digests) != set(IMAGES):
            raise CommandError("The plan does not name the digests of both images.")
        from_here = ["--repo", repository, "--signer-workflow", workflow]
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
) -> None:
    """Apply the plan in build/plan, and check the service from outside with the key in API_KEY.

    If a check fails, or the apply fails after it has changed something, the previous release is
    deployed again. A plan that is out of date, or a state that another run has locked for more than
    LOCK_TIMEOUT (10m), changes nothing. Exit code 1: the deploy failed; build/deployment.json says
    what followed.
    """
    with errors_told():
        if not os.environ.get("API_KEY"):
            raise CommandError("Set API_KEY to a valid key: the checks need it.")
        release = _read_release()
        service = terraform(ROOT, bucket)
        previous = last_deployed(bucket)
        record = Record(release, os.environ.get("GITHUB_ACTOR", ""), _run_url(), now())
        before = service.serial()
        applied = shifted_back = False
        try:
            service.run("apply", str(_SAVED))
            applied = True
            faults = _shift_and_check(service, release.tag, connect_to)
        except CommandError as error:
            faults = [str(error)]
            shifted_back = isinstance(error, ShiftedBackError)
        for line in faults:
            notes.print(f"✗ {line}", style="red", markup=False)
        if not faults:
            outcome = DEPLOYED
            record = replace(record, task_definition=service.outputs()["task_definition_arn"])
        elif applied or _moved(service, before):
            outcome = _roll_back(previous, bucket, connect_to, shifts=not shifted_back)
        else:
            outcome = "nothing was changed"
        write(bucket, replace(record, ended=now(), outcome=outcome, faults=faults))
        if faults:
            raise CommandError(f"{release.tag} is not deployed: {outcome}.")
    notes.print(f"[green]✓[/] {release.tag} is deployed.")


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
    """Shift the traffic if the deployment uses CodeDeploy; return the faults that checks found."""
    outputs = deployed.outputs()
    if shifts and outputs.get("codedeploy_deployment"):
        shift(json.loads(outputs["codedeploy_deployment"]))
    url = str(outputs["url"])
    service = caller(url, os.environ.get("API_KEY", ""), connect_to)
    with step(f"Waiting for {url}"):
        deadline = time.monotonic() + _READY_SECONDS
        while not perform(READY, service).passed and time.monotonic() < deadline:
            time.sleep(1)
    with step(f"Checking {url} against the contract"):
        results = [perform(name, service) for name in CHECKS]
    faults = [f"{one.check}: {one.detail}" for one in results if not one.passed]
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
            service.run("apply", "-auto-approve", *words)
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
