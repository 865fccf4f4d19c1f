"""AWS's services, for commands that speak to a person."""

import contextlib
from collections.abc import Iterator
from typing import Any

from zama_ops.errors import CommandError


@contextlib.contextmanager
def client(service: str) -> Iterator[Any]:
    """Yield a boto3 client for a service, with what the environment says of region and account.

    Raises:
        CommandError: AWS refused something, or does not answer.

    """
    import boto3  # noqa: PLC0415 - `zama up` does without, and starts faster
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as boto3

    try:
        yield boto3.client(service)
    except (BotoCoreError, ClientError) as error:
        raise CommandError(f"AWS does not answer: {error}") from None
