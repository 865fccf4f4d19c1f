"""Saved plans in the state bucket: encrypted, private, and never overwritten.

A plan has the values of the site's settings, and anyone who is signed in can read the artifacts of
a public repository.
"""

import os
from pathlib import Path
from typing import Final

from zama_ops.aws import client
from zama_ops.errors import CommandError

_PLANS: Final = "service/plans/"
_FILES: Final = ("tfplan", "release.json")
_NAME: Final = "name"


def save(bucket: str, commit: str, folder: Path) -> None:
    """Save a plan by its commit, run and attempt; outside a workflow, it stays on this machine."""
    run, attempt = (os.environ.get(f"GITHUB_{name}") for name in ("RUN_ID", "RUN_ATTEMPT"))
    if not (run and attempt):
        return
    name = f"{commit}/{run}/{attempt}"
    with client("s3") as s3:
        for file in _FILES:
            body = (folder / file).read_bytes()
            s3.put_object(Bucket=bucket, Key=f"{_PLANS}{name}/{file}", Body=body, IfNoneMatch="*")
    (folder / _NAME).write_text(name)


def newest(bucket: str, commit: str, run: int) -> str:
    """Return the name of the plan that the newest attempt of a commit's run has saved."""
    prefix = f"{_PLANS}{commit}/{run}/"
    with client("s3") as s3:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
    attempts = [int(key.removeprefix(prefix).partition("/")[0]) for key in keys]
    if not attempts:
        raise CommandError(
            f"The run {run} of ci.yml has saved no plan, or it has expired. Run ci.yml again."
        )
    return f"{commit}/{run}/{max(attempts)}"


def fetch(bucket: str, name: str, folder: Path) -> None:
    """Download a plan's files."""
    with client("s3") as s3:
        for file in _FILES:
            found = s3.get_object(Bucket=bucket, Key=f"{_PLANS}{name}/{file}")
            (folder / file).write_bytes(found["Body"].read())
    (folder / _NAME).write_text(name)


def name_of(folder: Path) -> str:
    """Return the name of the plan in a folder, or "" if it is not in the bucket."""
    return (folder / _NAME).read_text() if (folder / _NAME).exists() else ""
