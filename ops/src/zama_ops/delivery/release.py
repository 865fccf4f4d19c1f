"""A release: what is deployed, how Terraform is told, and what became of it.

What differs between accounts comes from the environment: AWS credentials and AWS_REGION;
STATE_BUCKET, where terraform/bootstrap keeps the state; and TFVARS, what terraform.tfvars would say
of this site.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from zama_ops.aws import client
from zama_ops.paths import BUILD
from zama_ops.terraform import Profile, Terraform

_RECORDS: Final = "service/deployments/"


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
    faults: list[str] = field(default_factory=list)


# --- Terraform ------------------------------------------------------------------------------------


def terraform(folder: Path, bucket: str) -> Terraform:
    """Return Terraform on a checkout's configuration, with the state in the account."""
    service = Terraform(folder / "terraform")
    where = [f"-backend-config=bucket={bucket}", f"-backend-config=region={_region()}"]
    service.run("init", "-reconfigure", *where)
    return service


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


def _region() -> str:
    return os.environ.get("AWS_REGION") or "eu-west-1"


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
