"""`zama deploy`: a plan is saved, and that very plan is applied, checked, and noted or undone.

What differs between accounts comes from the environment: AWS credentials and AWS_REGION;
STATE_BUCKET, where terraform/bootstrap keeps the state; PROFILE; and TFVARS, what terraform.tfvars
would say of this site.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from zama_ops.account import ROOT, AccountError, Profile, cli_configuration, run
from zama_ops.aws import client
from zama_ops.console import errors_told, notes, step
from zama_ops.images import BUILD, IMAGES, Tag, commit, repositories
from zama_ops.smoke import CHECKS, Deployment, perform

PLAN: Final = BUILD / "plan"
"""What a deploy takes from the plan's job: tfplan, plan.txt, release.json."""

_ISSUER: Final = "https://token.actions.githubusercontent.com"
_RECORDS: Final = "service/deployments/"
_READY_SECONDS: Final = 120
_DRIFT: Final = BUILD / "drift.md"
# Above it GitHub refuses the text of an issue.
_MOST_CHARACTERS: Final = 60_000

app: Final = typer.Typer(
    help="One way to AWS: plan, apply that plan, check, and note or undo it.", no_args_is_help=True
)

Bucket = Annotated[
    str, typer.Option("--state-bucket", envvar="STATE_BUCKET", help="As bootstrap has named it.")
]


@dataclass(frozen=True)
class Release:
    """What is deployed: a commit's configuration with a commit's images.

    Arguments:
        commit: of the configuration.
        tag: of the images.
        digests: by which the tasks run the images; None where a registry has none.
        profile: of terraform/profiles.
        plan: SHA-256 of the saved plan.

    """

    commit: str
    tag: str
    digests: dict[str, str] | None
    profile: Profile
    plan: str = ""


@dataclass(frozen=True)
class Record:
    """What became of a deploy; kept in the state's bucket, and in build/deployment.json."""

    release: Release
    by: str
    run: str
    began: str
    ended: str = ""
    outcome: str = ""
    found: list[str] = field(default_factory=list)


# --- Terraform ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Terraform:
    """Terraform on the configuration of a checkout, with the state in the account."""

    checkout: Path
    bucket: str

    def run(self, verb: str, *words: str, codes: tuple[int, ...] = (0,)) -> int:
        """Run Terraform, which prints as it goes; return its exit code.

        Raises:
            AccountError: it is not one of `codes`.

        """
        command = ["terraform", f"-chdir={self.checkout / 'terraform'}", verb, *words]
        environ = {**os.environ, **cli_configuration(), "TF_INPUT": "0", "TF_IN_AUTOMATION": "1"}
        code = subprocess.run(command, env=environ, check=False).returncode
        if code not in codes:
            raise AccountError(f"`terraform {verb}` failed with exit code {code}; see above.")
        return code

    def init(self) -> None:
        """Install the provider, and find the state."""
        where = [f"-backend-config=bucket={self.bucket}"]
        where += [f"-backend-config=region={os.environ.get('AWS_REGION', 'eu-west-1')}"]
        self.run("init", "-reconfigure", *where)

    def outputs(self) -> dict[str, Any]:
        """Return the outputs."""
        folder = self.checkout / "terraform"
        found = run("terraform", f"-chdir={folder}", "output", "-json", **cli_configuration())
        return {name: output["value"] for name, output in json.loads(found).items()}


@contextlib.contextmanager
def _variables(release: Release) -> Iterator[list[str]]:
    """Yield the words that tell Terraform what to deploy, while the files that they name exist."""
    words = [f"-var-file=profiles/{release.profile}.tfvars", f"-var=image_tag={release.tag}"]
    if release.digests:
        words.append(f"-var=image_digests={json.dumps(release.digests)}")
    with tempfile.NamedTemporaryFile("w", suffix=".tfvars") as file:
        if own := os.environ.get("TFVARS"):
            file.write(own)
            file.flush()
            words.append(f"-var-file={file.name}")
        yield words


@contextlib.contextmanager
def _checkout(revision: str) -> Iterator[Path]:
    """Yield a folder with the repository as it was at a commit."""
    with tempfile.TemporaryDirectory(prefix="zama-checkout-") as parent:
        folder = Path(parent) / "checkout"
        run("git", "worktree", "add", "--detach", str(folder), revision)
        try:
            yield folder
        finally:
            run("git", "worktree", "remove", "--force", str(folder))


# --- Plan -----------------------------------------------------------------------------------------


@app.command()
def plan(
    bucket: Bucket,
    tag: Tag = "",
    *,
    digests: Annotated[
        str, typer.Option(envvar="IMAGE_DIGESTS", help='Such as {"api":"sha256:…","nginx":"…"}.')
    ] = "",
    profile: Annotated[Profile, typer.Option(envvar="PROFILE")] = "minimal",
) -> None:
    """Save what `apply` would change for this commit, in build/plan."""
    with errors_told():
        revision = commit()
        release = Release(
            revision, tag or revision[:7], json.loads(digests) if digests else None, profile
        )
        shutil.rmtree(PLAN, ignore_errors=True)
        PLAN.mkdir(parents=True)
        terraform = Terraform(ROOT, bucket)
        terraform.init()
        with _variables(release) as variables:
            terraform.run("plan", f"-out={_saved()}", *variables)
        text = run("terraform", "-chdir=terraform", "show", "-no-color", str(_saved()))
        (PLAN / "plan.txt").write_text(text)
        release = replace(release, plan=_sha256(_saved()))
        (PLAN / "release.json").write_text(json.dumps(asdict(release), indent=2) + "\n")
    notes.print(f"Saved in {PLAN.relative_to(ROOT)}, for `zama deploy apply`.")


def _saved() -> Path:
    return PLAN / "tfplan"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@app.command()
def fetch() -> None:
    """Download the plan that ci.yml has saved for this commit on main; needs `gh`.

    By the run, not by a name: anybody's pull request can upload a file of any name.
    """
    with errors_told():
        revision = commit()
        of_this_commit = ["--workflow=ci.yml", "--branch=main", "--event=push"]
        of_this_commit += [f"--commit={revision}", "--status=success"]
        found = json.loads(run("gh", "run", "list", *of_this_commit, "--json=databaseId"))
        if not found:
            raise AccountError(
                f"ci.yml has not passed on main for {revision}: wait for it, or mend it."
            )
        shutil.rmtree(PLAN, ignore_errors=True)
        # gh lists the newest first.
        run("gh", "run", "download", str(found[0]["databaseId"]), "--name=plan", f"--dir={PLAN}")


@app.command()
def verify(
    *,
    repository: Annotated[
        str, typer.Option(envvar="GITHUB_REPOSITORY", help="OWNER/NAME of the workflows.")
    ],
) -> None:
    """Refuse the plan's images unless ci.yml on main signed them, their parts and their origin.

    The origin (SLSA provenance) must name the commit that is checked out. Needs `cosign` and `gh`.
    """
    workflow = f"{repository}/.github/workflows/ci.yml"
    by = [
        f"--certificate-identity=https://github.com/{workflow}@refs/heads/main",
        f"--certificate-oidc-issuer={_ISSUER}",
    ]
    with errors_told():
        release = _read_release()
        if release.digests is None or set(release.digests) != set(IMAGES):
            raise AccountError("The plan does not name the digests of both images.")
        from_here = ["--repo", repository, "--signer-workflow", workflow]
        from_here += ["--source-ref", "refs/heads/main", "--source-digest", release.commit]
        for name, url in repositories().items():
            image = f"{url}@{release.digests[name]}"
            with step(f"Verifying {image}"):
                run("cosign", "verify", *by, image)
                run("cosign", "verify-attestation", "--type", "cyclonedx", *by, image)
                origin = ["gh", "attestation", "verify", f"oci://{image}", "--bundle-from-oci"]
                run(*origin, *from_here)


# --- Apply ----------------------------------------------------------------------------------------


@app.command()
def apply(
    bucket: Bucket,
    *,
    connect_to: Annotated[
        str | None,
        typer.Option(envvar="CONNECT_TO", help="HOST:PORT to connect to instead of the URL's."),
    ] = None,
) -> None:
    """Apply the plan in build/plan, and check the service from outside, with the key in API_KEY.

    Where either fails, what was deployed before is deployed again. Exit code 1: it failed; then
    build/deployment.json says whether the service is as it was.
    """
    with errors_told():
        release = _read_release()
        terraform = Terraform(ROOT, bucket)
        terraform.init()
        previous = last_deployed(bucket)
        record = Record(release, os.environ.get("GITHUB_ACTOR", ""), _run_url(), _now())
        try:
            terraform.run("apply", str(_saved()))
            found = _shift_and_check(terraform, connect_to)
        except AccountError as error:
            found = [str(error)]
        outcome = "deployed"
        if found:
            for line in found:
                notes.print(f"✗ {line}", style="red", markup=False)
            outcome = _roll_back(previous, bucket, connect_to)
        _write(bucket, replace(record, ended=_now(), outcome=outcome, found=found))
        if found:
            raise AccountError(f"{release.tag} is not deployed: {outcome}.")
    notes.print(f"[green]✓[/] {release.tag} is deployed.")


def _read_release() -> Release:
    """Return what build/plan is the plan of.

    Raises:
        AccountError: there is none, or it is not this commit's, or it was changed.

    """
    try:
        release = Release(**json.loads((PLAN / "release.json").read_text()))
    except FileNotFoundError:
        raise AccountError("There is no plan: `zama deploy plan` or `fetch` first.") from None
    if release.commit != commit():
        raise AccountError(f"The plan is of {release.commit}, and {commit()} is checked out.")
    if release.plan != _sha256(_saved()):
        raise AccountError("build/plan/tfplan is not the plan that release.json speaks of.")
    return release


def _shift_and_check(terraform: Terraform, connect_to: str | None) -> list[str]:
    """Have CodeDeploy shift the traffic where it does; return what the checks found."""
    outputs = terraform.outputs()
    if outputs.get("codedeploy_deployment"):
        _shift(json.loads(outputs["codedeploy_deployment"]))
    url = str(outputs["url"])
    # Where that is another's address, no certificate can be for it.
    key, elsewhere = os.environ.get("API_KEY", ""), connect_to is not None
    deployment = Deployment(url, key, connect_to, insecure=elsewhere)
    with step(f"Waiting for {url}"):
        deadline = time.monotonic() + _READY_SECONDS
        ready = next(name for name in CHECKS if "/readyz" in name)
        while not perform(ready, deployment).passed and time.monotonic() < deadline:
            time.sleep(1)
    with step(f"Checking {url} against the contract"):
        results = [perform(name, deployment) for name in CHECKS]
    return [f"{one.check}: {one.detail}" for one in results if not one.passed]


def _shift(deployment: dict[str, Any]) -> None:
    """Shift the traffic to the new tasks; CodeDeploy shifts it back where alarms fire."""
    with step("Shifting the traffic"), client("codedeploy") as codedeploy:
        identity = codedeploy.create_deployment(**deployment)["deploymentId"]
        codedeploy.get_waiter("deployment_successful").wait(deploymentId=identity)


def _roll_back(previous: Release | None, bucket: str, connect_to: str | None) -> str:
    """Deploy again what was deployed before; return how that went."""
    if previous is None:
        return "there is nothing to go back to"
    notes.print(f"Going back to {previous.tag} ...")
    try:
        with _checkout(previous.commit) as folder, _variables(previous) as variables:
            terraform = Terraform(folder, bucket)
            terraform.init()
            terraform.run("apply", "-auto-approve", *variables)
            found = _shift_and_check(terraform, connect_to)
    except AccountError as error:
        found = [str(error)]
    if found:
        return f"the way back to {previous.tag} failed as well: {'; '.join(found)}"
    return f"rolled back to {previous.tag}"


# --- Records --------------------------------------------------------------------------------------


def last_deployed(bucket: str) -> Release | None:
    """Return what was deployed last and passed its checks; None where nothing was."""
    with client("s3") as s3:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=_RECORDS)
        names = [one["Key"] for page in pages for one in page.get("Contents", [])]
        for name in sorted(names, reverse=True):
            record = json.loads(s3.get_object(Bucket=bucket, Key=name)["Body"].read())
            if record["outcome"] == "deployed":
                return Release(**record["release"])
    return None


def _write(bucket: str, record: Record) -> None:
    text = json.dumps(asdict(record), indent=2) + "\n"
    (BUILD / "deployment.json").write_text(text)
    name = f"{_RECORDS}{record.ended}-{record.release.tag}.json"
    with client("s3") as s3:
        s3.put_object(Bucket=bucket, Key=name, Body=text.encode(), ContentType="application/json")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _run_url() -> str:
    parts = [
        os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")
    ]
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else ""


# --- Drift ----------------------------------------------------------------------------------------


@app.command()
def drift(bucket: Bucket) -> None:
    """Plan what is deployed once more: what is in the plan was changed by other hands.

    Writes build/drift.md, empty where nothing was.
    """
    with errors_told():
        BUILD.mkdir(exist_ok=True)
        _DRIFT.write_text("")
        deployed = last_deployed(bucket)
        if deployed is None:
            notes.print("Nothing was deployed by `zama deploy apply` yet.")
            return
        with _checkout(deployed.commit) as folder, _variables(deployed) as variables:
            terraform = Terraform(folder, bucket)
            terraform.init()
            saved = str(folder / "drift.tfplan")
            words = ["-detailed-exitcode", f"-out={saved}", *variables]
            if terraform.run("plan", *words, codes=(0, 2)) == 0:
                notes.print(f"All is as {deployed.tag} says.")
                return
            show = ["terraform", f"-chdir={folder / 'terraform'}", "show", "-no-color", saved]
            text = run(*show, **cli_configuration())
        _DRIFT.write_text(
            f"What runs is not what {deployed.commit} says. Somebody or something has changed it;"
            " take the change into `terraform/`, or deploy again to undo it.\n\n"
            f"```\n{text[:_MOST_CHARACTERS]}\n```\n"
        )
        notes.print(f"There is drift: {_DRIFT.relative_to(ROOT)}", style="yellow")


@app.command()
def report_drift() -> None:
    """Open, update or close the one issue labelled `drift`, by build/drift.md; needs `gh`."""
    with errors_told():
        found = run("gh", "issue", "list", "--label=drift", "--state=open", "--json=number")
        numbers = [str(one["number"]) for one in json.loads(found)]
        body = f"--body-file={_DRIFT}"
        if not _DRIFT.read_text():
            for number in numbers:
                run("gh", "issue", "close", number, "--comment=There is no drift any more.")
        elif numbers:
            run("gh", "issue", "edit", numbers[0], body)
        else:
            run("gh", "label", "create", "drift", "--force", "--color=d93f0b")
            run("gh", "issue", "create", "--label=drift", "--title=AWS is not as deployed", body)
