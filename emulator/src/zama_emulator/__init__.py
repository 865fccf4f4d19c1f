"""AWS on this machine: MiniStack and moto, corrected where a deployment would see the difference.

README.md says what is emulated, and what is not.
"""

from typing import Final

__version__ = "0.1.0"

PORTS: Final = 3
"""Ports in a row that an emulator listens on: HTTP, HTTPS, moto."""

ACCOUNT: Final = "000000000000"
"""The account's number."""

_REGION: Final = "eu-west-1"
_MOTO: Final = ("AMP", "APPLICATION_AUTO_SCALING", "CODEDEPLOY", "EC2")


def environment(port: int) -> dict[str, str]:
    """Return the settings by which AWS clients find the emulator whose first port this is."""
    return {
        # By address, so that S3 clients put the bucket into the path.
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        **{f"AWS_ENDPOINT_URL_{service}": f"http://127.0.0.1:{port + 2}" for service in _MOTO},
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
    }
