"""AWS's services, for commands that speak to a person."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from zama_ops.errors import CommandError


def connect(service: str, **settings: str) -> Any:
    """Return a boto3 client for a service; `settings` take precedence over the environment's."""
    import boto3  # noqa: PLC0415 - `zama up` does without, and starts faster
    from botocore.config import Config  # noqa: PLC0415 - as boto3

    # The variable of the AWS CLI and of Terraform, which boto3 does not read.
    region = {"region_name": os.environ["AWS_REGION"]} if os.environ.get("AWS_REGION") else {}
    retries = Config(retries={"mode": "standard", "total_max_attempts": 5})
    return boto3.client(service, config=retries, **{**region, **settings})


@contextlib.contextmanager
def client(service: str) -> Iterator[Any]:
    """Yield a boto3 client for a service, with what the environment says of region and account.

    Raises:
        CommandError: AWS refused something, or does not answer.

    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as boto3

    try:
        yield connect(service)
    except (BotoCoreError, ClientError) as error:
        raise CommandError(f"AWS does not answer: {error}") from None
