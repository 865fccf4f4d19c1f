"""A release: what is deployed, how Terraform is told, and what became of it.

What differs between accounts comes from the environment: AWS credentials and AWS_REGION;
STATE_BUCKET, where terraform/bootstrap keeps the state; and TFVARS, what terraform.tfvars would say
of this site.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from zama_ops.account import Profile, cli_configuration
from zama_ops.aws import client
from zama_ops.commands import CommandError, run
from zama_ops.images import BUILD

_RECORDS: Final = "service/deployments/"

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

    folder: Path
    bucket: str

    def run(self, verb: str, *words: str, codes: tuple[int, ...] = (0,)) -> int:
        """Run Terraform, which prints as it goes; return its exit code.

        Ctrl-C reaches it as well, and it then stops in good order: it is waited for.

        Raises:
            CommandError: it is not one of `codes`.

        """
        command = ["terraform", f"-chdir={self.folder / 'terraform'}", verb, *words]
        environ = {**os.environ, **cli_configuration(), "TF_INPUT": "0", "TF_IN_AUTOMATION": "1"}
        # Terraform hears Ctrl-C too. Handled and not ignored, because a child inherits the latter.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            code = subprocess.run(command, env=environ, check=False).returncode
        finally:
            signal.signal(signal.SIGINT, before)
        if code not in codes:
            raise CommandError(f"`terraform {verb}` failed with exit code {code}; see above.")
        return code

    def init(self) -> None:
        """Install the provider, and find the state."""
        where = [f"-backend-config=bucket={self.bucket}"]
        where += [f"-backend-config=region={_region()}"]
        self.run("init", "-reconfigure", *where)

    def show(self, plan: Path) -> str:
        """Return a saved plan as text."""
        return self._ask("show", "-no-color", str(plan))

    def outputs(self) -> dict[str, Any]:
        """Return the outputs."""
        found = json.loads(self._ask("output", "-json"))
        return {name: output["value"] for name, output in found.items()}

    def _ask(self, *words: str) -> str:
        return run(
            "terraform", f"-chdir={self.folder / 'terraform'}", *words, **cli_configuration()
        )


def _region() -> str:
    return os.environ.get("AWS_REGION") or "eu-west-1"


@contextlib.contextmanager
def variables(release: Release) -> Iterator[list[str]]:
    """Yield the words that tell Terraform what to deploy, while the files that they name exist."""
    words = [f"-var=region={_region()}", f"-var=image_tag={release.tag}"]
    words.append(f"-var-file=profiles/{release.profile}.tfvars")
    if release.digests:
        words.append(f"-var=image_digests={json.dumps(release.digests)}")
    with tempfile.NamedTemporaryFile("w", suffix=".tfvars") as file:
        if own := os.environ.get("TFVARS"):
            file.write(own)
            file.flush()
            words.append(f"-var-file={file.name}")
        yield words


@contextlib.contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Yield a folder with the repository as it was at a commit."""
    with tempfile.TemporaryDirectory(prefix="zama-checkout-") as parent:
        folder = Path(parent) / "checkout"
        run("git", "worktree", "add", "--detach", str(folder), revision)
        try:
            yield folder
        finally:
            run("git", "worktree", "remove", "--force", str(folder))


# --- Records --------------------------------------------------------------------------------------


def last_deployed(bucket: str) -> Release | None:
    """Return what was deployed last and passed its checks; None where nothing was.

    Raises:
        CommandError: AWS does not answer.

    """
    with client("s3") as s3:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=_RECORDS)
        names = [one["Key"] for page in pages for one in page.get("Contents", [])]
        for name in sorted(names, reverse=True):
            record = json.loads(s3.get_object(Bucket=bucket, Key=name)["Body"].read())
            if record["outcome"] == "deployed":
                return Release(**record["release"])
    return None


def write(bucket: str, record: Record) -> None:
    """Keep a record, here and in the account.

    Raises:
        CommandError: AWS does not answer.

    """
    text = json.dumps(asdict(record), indent=2) + "\n"
    (BUILD / "deployment.json").write_text(text)
    name = f"{_RECORDS}{record.ended}-{record.release.tag}.json"
    with client("s3") as s3:
        s3.put_object(Bucket=bucket, Key=name, Body=text.encode(), ContentType="application/json")
