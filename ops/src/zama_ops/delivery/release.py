"""A release, its Terraform variables, and the records of past deploys.

Account-specific settings come from the environment: AWS credentials and AWS_REGION; STATE_BUCKET,
the bucket that terraform/bootstrap created for the state; and TFVARS, the content of a site's
terraform.tfvars.
"""

import contextlib
import getpass
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from zama_ops.aws import client
from zama_ops.paths import BUILD
from zama_ops.terraform import Profile, Terraform, with_backend

_RECORDS: Final = "service/deployments/"
# As in terraform/backend.tf.example.
_LOCK: Final = "service/terraform.tfstate.tflock"
# ci.yml, deploy.yml and drift.yml share one state, so each waits for the others.
_LOCK_TIMEOUT: Final = "10m"


@dataclass(frozen=True)
class Release:
    """A commit's configuration with a commit's images.

    `digests` is None if the registry has no digests; `plan` is the SHA-256 of the saved plan.
    """

    commit: str
    tag: str
    digests: dict[str, str] | None
    profile: Profile
    plan: str = ""


@dataclass(frozen=True)
class Record:
    """The record of a deploy, kept in the state bucket and in build/deployment.json.

    `serial` is the state's before the deploy.
    """

    release: Release
    by: str
    run: str
    began: str
    serial: int
    ended: str = ""
    outcome: str = "interrupted"
    faults: list[str] = field(default_factory=list)


def terraform(folder: Path, bucket: str) -> Terraform:
    """Return Terraform for a checkout, initialized with the state bucket."""
    patience = f"-lock-timeout={os.environ.get('LOCK_TIMEOUT') or _LOCK_TIMEOUT}"
    service = Terraform(
        with_backend(folder / "terraform", folder / "build" / "service"),
        {f"TF_CLI_ARGS_{verb}": patience for verb in ("plan", "apply")},
    )
    where = [f"-backend-config=bucket={bucket}", f"-backend-config=region={_region()}"]
    service.run("init", "-reconfigure", *where)
    return service


@contextlib.contextmanager
def variables(release: Release) -> Iterator[list[str]]:
    """Yield Terraform's arguments for a release; the files that they name exist in the block."""
    # The last value of a variable wins: a site may change the profile, but not the images.
    words = [f"-var=region={_region()}", f"-var-file=profiles/{release.profile}.tfvars"]
    with tempfile.NamedTemporaryFile("w", suffix=".tfvars") as file:
        if own := os.environ.get("TFVARS"):
            file.write(own)
            file.flush()
            words.append(f"-var-file={file.name}")
        words.append(f"-var=image_tag={release.tag}")
        if release.digests:
            words.append(f"-var=image_digests={json.dumps(release.digests)}")
        yield words


def _region() -> str:
    return os.environ.get("AWS_REGION") or "eu-west-1"


def last_deployed(bucket: str) -> Release | None:
    """Return the last release that was deployed and passed its checks, if any."""
    return next((one.release for one in _records(bucket) if one.outcome == "deployed"), None)


def last_record(bucket: str) -> Record | None:
    """Return the record of the last deploy, if any."""
    return next(_records(bucket), None)


def _records(bucket: str) -> Iterator[Record]:
    """Yield the records, the newest first."""
    with client("s3") as s3:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=_RECORDS)
        names = [one["Key"] for page in pages for one in page.get("Contents", [])]
        for name in sorted(names, reverse=True):
            record = json.loads(s3.get_object(Bucket=bucket, Key=name)["Body"].read())
            yield Record(**{**record, "release": Release(**record["release"])})


def write(bucket: str, record: Record) -> None:
    """Save a record on this machine and in the state bucket, in place of an earlier version."""
    text = json.dumps(asdict(record), indent=2) + "\n"
    name = f"{_RECORDS}{record.began}-{record.release.tag}.json"
    # First the copy that a rollback reads.
    with client("s3") as s3:
        s3.put_object(Bucket=bucket, Key=name, Body=text.encode(), ContentType="application/json")
    BUILD.mkdir(exist_ok=True)
    (BUILD / "deployment.json").write_text(text)


def release_lock(service: Terraform, bucket: str) -> bool:
    """Release the state's lock if this user's Terraform on this machine left it; say whether."""
    with client("s3") as s3:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=_LOCK).get("Contents")
        if not found:
            return False
        lock = json.loads(s3.get_object(Bucket=bucket, Key=_LOCK)["Body"].read())
    # https://github.com/hashicorp/terraform/blob/v1.11.4/internal/states/statemgr/locker.go
    if lock.get("Who") != f"{getpass.getuser()}@{socket.gethostname()}":
        return False
    service.run("force-unlock", "-force", lock["ID"])
    return True
