"""Clients of AWS's services for the commands."""

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any, Final

from zama_ops.errors import CommandError

_CURES: Final = {
    "NoRegionError": "Set AWS_REGION, for example to eu-west-1.",
    "NoCredentialsError": "Log in with `aws sso login` or `aws configure`, or set AWS_PROFILE.",
    "ProfileNotFound": "Set AWS_PROFILE to a name that `aws configure list-profiles` prints.",
    "EndpointConnectionError": "Check the network, AWS_REGION and AWS_ENDPOINT_URL.",
}
"""What to do about botocore's errors whose message does not say it."""


def connect(service: str, **settings: str | None) -> Any:
    """Return a botocore client for a service; `settings` take precedence over the environment."""
    from botocore.config import Config  # noqa: PLC0415 - `zama up` starts faster without it

    # The AWS CLI and Terraform read this variable, but botocore does not.
    region = {"region_name": os.environ["AWS_REGION"]} if os.environ.get("AWS_REGION") else {}
    retries = Config(retries={"mode": "standard", "total_max_attempts": 5})
    return session().create_client(service, config=retries, **{**region, **settings})


@functools.cache
def session() -> Any:
    """Return a session of botocore, which keeps the credentials and models that it has read."""
    from botocore.session import get_session  # noqa: PLC0415 - as above

    return get_session()


@contextlib.contextmanager
def client(service: str) -> Iterator[Any]:
    """Yield a botocore client for a service, with the region and account of the environment.

    In the block, an error of AWS becomes a CommandError.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

    try:
        try:
            aws = connect(service)
        except ValueError as error:
            raise CommandError(f"{error}. Check AWS_ENDPOINT_URL, a URL.") from None
        aws.meta.events.register("needs-retry", _give_up)
        yield aws
    except (BotoCoreError, ClientError) as error:
        cure = _CURES.get(type(error).__name__)
        told = str(error).removesuffix(".")
        raise CommandError(f"The AWS request failed: {told}{f'. {cure}' * bool(cure)}") from None


def _give_up(caught_exception: Exception | None = None, **_: Any) -> None:
    """Do not retry for seconds if AWS_ENDPOINT_URL points to a port where nothing listens."""
    from botocore.exceptions import EndpointConnectionError  # noqa: PLC0415 - as above

    if isinstance(caught_exception, EndpointConnectionError):
        url = str(caught_exception.kwargs["endpoint_url"])
        if ".amazonaws.com" not in url:
            raise caught_exception
