"""boto3 clients for the commands."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from zama_ops.errors import CommandError


def connect(service: str, **settings: str) -> Any:
    """Return a boto3 client for a service; `settings` take precedence over the environment."""
    import boto3  # noqa: PLC0415 - `zama up` starts faster without it
    from botocore.config import Config  # noqa: PLC0415 - as boto3

    # The AWS CLI and Terraform read this variable, but boto3 does not.
    region = {"region_name": os.environ["AWS_REGION"]} if os.environ.get("AWS_REGION") else {}
    retries = Config(retries={"mode": "standard", "total_max_attempts": 5})
    return boto3.client(service, config=retries, **{**region, **settings})


@contextlib.contextmanager
def client(service: str) -> Iterator[Any]:
    """Yield a boto3 client for a service, with the region and account of the environment.

    In the block, an error of AWS becomes a CommandError.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as boto3

    try:
        yield connect(service)
    except (BotoCoreError, ClientError) as error:
        raise CommandError(f"The AWS request failed: {error}") from None
